"""The models of the study by name: those of this repository, and anybody's ``module:factory``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from reference_experiments.data.images64 import data_folder
from reference_experiments.images.restorer import weights_digest
from reference_experiments.networks.carn_m import load_carn_m
from reference_experiments.networks.edsr import load_edsr
from reference_experiments.networks.flow_network import Latents
from reference_experiments.networks.realsr import load_realsr_df2k
from reference_experiments.networks.rrdb import SCALE, load_rrdbnet
from reference_experiments.networks.srflow import SRFlow, load_srflow
from reference_experiments.srflow.bicubic import Bicubic
from reference_experiments.srflow.training import trained_flow
from stochrobust import module_of, sampler_of
from stochrobust.cli import made_model

Role = Literal["flow", "distortion", "GAN", "linear", "other"]
"""What the paper's ordering, SRFlow ~ EDSR >> ESRGAN, says of a model."""
PROBE = 8
"""Side of the input by which a model is tried."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A super-resolver ready to be attacked.

    Attributes:
        G: ``G(y, z)`` with ``G.sample_z``, or ``G(y)``, deterministic or drawing its noise inside.
        name: for tables and figures.
        role: see :data:`Role`.
        stochastic: whether its outputs at one y differ.
        identity: tells these weights from others; saved numbers are kept under it.
    """

    G: Callable[..., Tensor]
    name: str
    role: Role
    stochastic: bool
    identity: str

    @property
    def of_one_input(self) -> Callable[..., Tensor]:
        """G for calls whose rows of y are one and the same: see :class:`EncodedOnce`."""
        return EncodedOnce(self.G) if isinstance(self.G, SRFlow) else self.G


class EncodedOnce(nn.Module):
    """SRFlow, doing once for all rows what depends on y alone, where the rows of y are equal, as with seeds of one y.

    Outputs are SRFlow's. The gradient with respect to y comes at its first row, for all: its sum is SRFlow's.
    """

    def __init__(self, flow: SRFlow) -> None:
        super().__init__()
        self.flow, self.sample_z = flow, flow.sample_z

    def forward(self, y: Tensor, z: Latents) -> Tensor:
        """(B, 3, h, w) and z of B rows -> (B, 3, 4h, 4w)."""
        x_hat: Tensor = self.flow(y[:1] if torch.equal(y, y[:1].expand_as(y)) else y, z)
        return x_hat


def _of_file(read: Callable[[Path], nn.Module]) -> Callable[[Path | None], nn.Module]:
    def load(path: Path | None) -> nn.Module:
        if path is None:
            raise ValueError("its file must be given, as NAME=FILE")
        return read(path)

    return load


def _carn_m(path: Path | None) -> nn.Module:
    return load_carn_m(path or data_folder() / "carn_m" / "carn_m.pth", SCALE)


KNOWN: dict[str, tuple[str, Role, Callable[[Path | None], nn.Module]]] = {
    "bicubic": ("bicubic", "linear", lambda path: Bicubic()),
    "carn_m": ("CARN-M", "distortion", _carn_m),
    "realsr": ("RealSR-DF2K", "GAN", lambda path: load_realsr_df2k(path)),
    "flow": ("flow trained here", "flow", _of_file(lambda path: trained_flow(path)[0])),
    "flow_noisy": ("flow trained on noisy inputs", "flow", _of_file(lambda path: trained_flow(path)[0])),
    "edsr": ("EDSR", "distortion", _of_file(lambda path: load_edsr(path))),
    "rrdbnet": ("RRDBNet", "distortion", _of_file(lambda path: load_rrdbnet(path))),
    "esrgan": ("ESRGAN", "GAN", _of_file(lambda path: load_rrdbnet(path))),
    "srflow": ("SRFlow", "flow", _of_file(lambda path: load_srflow(path))),
}
"""Of each name its title, its role and its reader. ``rrdbnet``: trained for PSNR; ``esrgan``: with a critic."""


def subject(spec: str, device: torch.device | str = "cpu", *, checkpointing: bool = False) -> Subject:
    """The model that ``spec`` means, in eval mode.

    Args:
        spec: one of :data:`KNOWN`, with ``=FILE`` (``flow``: the folder of its training) where it has no usual place;
            or ``module:factory``: called with a device, if it takes one, else with nothing, it returns the model.
        device: to put it on.
        checkpointing: have networks that can do it compute their blocks again in the backward pass, and not keep them.

    Raises:
        ValueError: if there is no such model, or it does not map (B, 3, h, w) to (B, 3, 4h, 4w).
        FileNotFoundError: where its weights are not there.
    """
    name, _, given = spec.partition("=")
    path = Path(given).expanduser() if given else None
    if name in KNOWN:
        title, role, load = KNOWN[name]
        try:
            G: Callable[..., Tensor] = load(path)
        except ValueError as error:
            raise ValueError(f"model {spec!r}: {error}") from error
    else:
        title, role, G = spec, "other", _made(spec, device)
    module = module_of(G)
    if module is not None:
        module.to(device).eval()
        for layer in module.modules():
            if hasattr(layer, "checkpointing"):
                setattr(layer, "checkpointing", checkpointing)  # noqa: B010 (no attribute of all modules)
    identity = spec if module is None else weights_digest(module)
    return Subject(G, title, role, _tried(G, spec, device), identity)


def subjects(specs: Iterable[str], device: torch.device | str = "cpu", *, checkpointing: bool = False) -> list[Subject]:
    """Several models, no two of one name."""
    found = [subject(spec, device, checkpointing=checkpointing) for spec in specs]
    names = [one.name for one in found]
    if len(set(names)) < len(names):
        raise ValueError(f"models must have different names, got {names}")
    return found


def _made(spec: str, device: torch.device | str) -> Callable[..., Tensor]:
    """What anybody's factory returns."""
    if ":" not in spec:
        raise ValueError(f"model must be one of {', '.join(KNOWN)} or module:factory, got {spec!r}")
    return made_model(spec, device)


@torch.no_grad()
def _tried(G: Callable[..., Tensor], spec: str, device: torch.device | str) -> bool:
    """Whether the model is stochastic: it has seeds, or two calls differ. ValueError for an output of a wrong shape."""
    y = torch.full((1, 3, PROBE, PROBE), 0.5, device=device)
    sample_z = sampler_of(G)
    seeds = [()] * 2 if sample_z is None else [(sample_z(y, torch.Generator(device).manual_seed(s)),) for s in (0, 1)]
    first, second = (G(y, *seed) for seed in seeds)
    expected = (1, 3, SCALE * PROBE, SCALE * PROBE)
    if not isinstance(first, Tensor) or tuple(first.shape) != expected:
        got = tuple(first.shape) if isinstance(first, Tensor) else type(first).__name__
        raise ValueError(f"model {spec!r} must map {tuple(y.shape)} to {expected}, got {got}")
    return sample_z is not None or not torch.equal(first, second)
