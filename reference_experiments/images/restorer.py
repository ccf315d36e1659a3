"""What is evaluated: an estimator with its degradation and the radius of the attacks on it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from reference_experiments.images.training import trained
from stochrobust import BlockAverageProjector, InpaintingProjector, SampleKeys, draw_seeds, module_of, sampler_of

Degradation = InpaintingProjector | BlockAverageProjector


@dataclass(frozen=True, eq=False)
class Restorer:
    """An estimator ``G(y, z)``, or a deterministic ``G(y)``, ready to be measured.

    Attributes:
        G: the estimator; its seeds come from ``G.sample_z``.
        projector: of the degradation that G undoes.
        eps: radius of the attacks, L2 over all elements of one y.
        stochastic: whether G's outputs at one y differ.
        identity: tells these weights from others; part of what saved numbers are kept under.
        description: of G, for readers and, again, to tell it from others.
    """

    G: Callable[..., Tensor]
    projector: Degradation
    eps: float
    stochastic: bool
    identity: str
    description: dict[str, Any]

    @classmethod
    def of(
        cls,
        G: Callable[..., Tensor],
        projector: Degradation,
        eps: float,
        *,
        stochastic: bool,
        description: dict[str, Any],
    ) -> Restorer:
        """Any estimator; of a function whose weights cannot be seen, the description must tell it from others."""
        module = module_of(G)
        return cls(G, projector, eps, stochastic, "" if module is None else weights_digest(module), description)

    @classmethod
    def from_checkpoint(cls, folder: Path, device: torch.device | str = "cpu") -> Restorer:
        """The model whose training is in ``folder``, as of its latest checkpoint."""
        G, settings, steps = trained(folder, device)
        description = {"steps_done": steps, **asdict(settings)}
        projector = cast("Degradation", G.projector)
        return cls.of(
            G, projector, settings.restoration.eps, stochastic=settings.stochastic, description=description
        )  # fmt: skip

    def seeds(self, y: Tensor, ids: list[int], seed: int, n_seeds: int, first: int) -> Any:
        """z for seeds ``first`` and on of each input; they belong to (seed, image, number), whatever the batch."""
        sample_z = sampler_of(self.G)
        if sample_z is None:
            return None
        return draw_seeds(sample_z, y, n_seeds, SampleKeys(ids, seed), first_seed=first)

    def outputs(self, y: Tensor, z: Any, batch: int) -> Tensor:
        """``G(y, z)``, at most ``batch`` rows in one pass."""

        def rows(start: int) -> Tensor:
            seeds = () if z is None else (tree_map(lambda leaf: leaf[start : start + batch], z),)
            return self.G(y[start : start + batch], *seeds)

        parts = [rows(start) for start in range(0, len(y), batch)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Within, G is in evaluation mode; afterwards each of its layers is in the mode it was in."""
        module = module_of(self.G)
        modes = [] if module is None else [(layer, layer.training) for layer in module.modules()]
        try:
            for layer, _ in modes:
                layer.training = False
            yield
        finally:
            for layer, training in modes:
                layer.training = training


def weights_digest(module: nn.Module) -> str:
    """SHA-256 of names, dtypes, shapes and bytes of all parameters and buffers that are saved."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
