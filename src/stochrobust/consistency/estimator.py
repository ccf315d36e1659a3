"""An estimator made consistent: its outputs projected onto the images that agree with y."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from stochrobust._arguments import describe
from stochrobust.consistency.projector import Projector, check_projector
from stochrobust.estimators.calling import called
from stochrobust.estimators.contract import Estimator, sampler_of


class Consistent(nn.Module):
    """A consistent estimator: ``project(G(y, z), y)``, so that ``D(x_hat) = y``.

    Under an attack the output is made consistent with the attacked input, as in the paper.

    Args:
        G: any estimator; it is a submodule if it is an ``nn.Module``.
        projector: one of :mod:`stochrobust.consistency`.

    Raises:
        TypeError: G is not callable, or the projector is none.

    Example:
        >>> import torch
        >>> from stochrobust import BlockAverageProjector
        >>> G = Consistent(lambda y, z: z, BlockAverageProjector(2))
        >>> x_hat = G(torch.ones(1, 1, 1, 1), torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]]))
        >>> x_hat.mean().item()
        1.0

    Source: sections 2.2 and 6.1.1 of the paper.
    """

    def __init__(self, G: Estimator, projector: Projector) -> None:
        super().__init__()
        if not callable(G):
            raise TypeError(f"G must be callable, got {describe(G)}")
        check_projector(projector)
        self.G = G
        self.projector = projector
        sample_z = sampler_of(G)
        if sample_z is not None:
            self.sample_z = sample_z

    def forward(self, y: Tensor, *inputs: Any) -> Tensor:
        """``project(G(y, *inputs), y)``."""
        return self.projector.project(called(self.G, [y, *inputs]), y)
