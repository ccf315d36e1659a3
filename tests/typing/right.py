"""Calls that a type checker must accept, and that run: every form of estimator, attack, ball and seeds."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

import stochrobust as sr

Y, Z = torch.rand(2, 3), torch.rand(2, 3)


class Restorer(Protocol):
    """What a user may call an estimator, in their own code."""

    def __call__(self, y: Tensor, z: Tensor) -> Tensor: ...


class WithSeeds(nn.Module):
    """A module, and its bound methods."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def sample_z(self, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(y.shape, generator=generator)

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        output: Tensor = self.layer(y) + z
        return output

    def scaled(self, y: Tensor, z: Tensor, scale: float = 2.0) -> Tensor:
        return scale * self.forward(y, z)


def of_two_seeds(y: Tensor, z: tuple[Tensor, Tensor], cond: Tensor | None = None) -> Tensor:
    return y * (1 if cond is None else cond) + z[0] * z[1]


def two_seeds(y: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    return torch.randn(y.shape, generator=generator), torch.ones(y.shape)


def of_anything(y: Tensor, *inputs: Tensor) -> Tensor:
    return y + sum(inputs)


def seeds_as_keys(y: Tensor, generator: torch.Generator | None) -> dict[str, Tensor]:
    return {"z": torch.randn(y.shape, generator=generator)}


def modules() -> None:
    net = WithSeeds()
    sr.robustness_loss(nn.Linear(3, 3), Y, 0.1).backward()
    sr.robustness_loss(net, Y, 0.1, 2)
    sr.robustness_loss(net.scaled, Y, 0.1, 2)
    sr.robustness_loss(functools.partial(net.scaled, scale=3.0), Y, torch.tensor([0.1, 0.2]), n_seeds=2)
    sr.robustness_loss(DataParallel(net), Y, 0.1, 2)
    sr.robustness_loss(torch.compile(net, backend="eager"), Y, 0.1, 2)
    sr.RobustnessLoss(0.1, 2, attack=sr.PAPER)(net, Y)
    sr.HiddenNoise(nn.Linear(3, 3), torch.Generator())


def distributed(net: DistributedDataParallel) -> Tensor:
    return sr.robustness_loss(net, Y, 0.1, 2)


def functions() -> None:
    sr.robustness_loss(lambda y: 2 * y, Y, 0.1)
    sr.robustness_loss(lambda y, z: y + z, Y, 0.1, z=Z)
    sr.robustness_loss(lambda y, z, cond: y + z * cond, Y, 0.1, z=Z, cond=torch.ones(2, 1))
    sr.robustness_loss(of_two_seeds, Y, 0.1, 3, sample_z=two_seeds)
    sr.robustness_loss(of_two_seeds, Y, 0.1, 3, sample_z=two_seeds, cond=torch.ones(2, 3))
    sr.robustness_loss(of_anything, Y, 0.1)
    sr.robustness_loss(lambda y, z: y + z["z"], Y, 0.1, 2, sample_z=seeds_as_keys)
    compiled = torch.compile(of_anything, backend="eager")
    sr.robustness_loss(compiled, Y, 0.1, 2, sample_z=lambda y, generator: torch.randn(y.shape, generator=generator))


def through_types_of_ones_own(
    restore: Restorer = WithSeeds(),  # noqa: B008
    untyped: Callable[..., Tensor] = of_anything,
) -> None:
    sr.sensitivity(restore, Y, 0.1, z=Z)
    sr.sensitivity(untyped, Y, 0.1, generator=torch.Generator(), attack=sr.PGD(3), ball=sr.Linf(box=(0.0, 1.0)))


def measurements() -> None:
    net, keys = WithSeeds(), sr.SampleKeys([4, 7])
    sr.sensitivity(net, Y, 0.1, 4, generator=keys, attack=sr.RandomSearch(5), ball=sr.L2(mask=torch.ones(3)))
    sr.mean_sensitivity(net, Y, 0.1, 4, attack=sr.PGD(3), max_batch=4)
    sr.same_seed_change(net, Y, torch.zeros(2, 3), 4, norm_statistics="running")
    sr.w2_sensitivity(net, Y, 0.1, 4, attack=sr.AdamAscent(3))
    G = sr.Consistent(lambda y, z: z, sr.BlockAverageProjector(2))
    sr.consistency_psnr(G(torch.ones(1, 1, 1, 1), torch.rand(1, 1, 2, 2)), torch.ones(1, 1, 1, 1), G.projector)


def sets() -> None:
    one: sr.PrecisionRecall = sr.precision_recall(real=torch.rand(9, 2), generated=torch.rand(9, 2), k=3)
    several: tuple[sr.PrecisionRecall, ...] = sr.precision_recall(real=Y.T, generated=Z.T, k=[1, 2])
    number: float = sr.eps_from_psnr(30.0, 12)
    tensor: Tensor = sr.eps_from_psnr(torch.tensor([30.0]), 12)
    assert (one.k, len(several), len(tensor)) == (3, 2, 1)
    assert number > 0
