"""Calls that a type checker must refuse, and that raise where they are made all the same.

Each refused line bears the code of its error. mypy reports a mark without an error like an error without a mark, so
that the strict run over the tests holds this file to "exactly these lines"; `test_typing.py` does the same as a user.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import stochrobust as sr

Y = torch.rand(2, 3)
net = nn.Linear(3, 3)


def pair(y: Tensor) -> tuple[Tensor, Tensor]:
    return y, y


def by_keyword(y: Tensor, *, z: Tensor) -> Tensor:
    return y + z


def of_four(y: Tensor, z: Tensor, cond: Tensor, more: Tensor) -> Tensor:
    return y + z + cond + more


def of_image_only(y: Tensor) -> Tensor:
    return torch.randn(y.shape)


def needs_a_generator(y: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(y.shape, generator=generator, device=generator.device)


def of_two(y: Tensor, z: Tensor) -> Tensor:
    return y + z


def eps_in_words() -> None:
    sr.robustness_loss(net, Y, "0.1")  # type: ignore[arg-type]


def eps_left_out() -> None:
    sr.robustness_loss(net, Y)  # type: ignore[call-arg]


def n_seeds_none() -> None:
    sr.robustness_loss(net, Y, 0.1, n_seeds=None)  # type: ignore[arg-type]


def n_seeds_broken() -> None:
    sr.sensitivity(net, Y, 0.1, 2.5)  # type: ignore[arg-type]


def estimator_and_input_swapped() -> None:
    sr.sensitivity(Y, net, 0.1)  # type: ignore[arg-type]


def estimator_returns_a_pair() -> None:
    sr.robustness_loss(pair, Y, 0.1)  # type: ignore[arg-type]


def lambda_returns_a_pair() -> None:
    sr.sensitivity(lambda y: (y, y), Y, 0.1)  # type: ignore[arg-type]


def estimator_of_keywords() -> None:
    sr.robustness_loss(by_keyword, Y, 0.1, z=Y)  # type: ignore[arg-type]


def estimator_of_four() -> None:
    sr.robustness_loss(of_four, Y, 0.1, z=Y)  # type: ignore[arg-type]


def estimator_class() -> None:
    sr.robustness_loss(nn.Linear, Y, 0.1)  # type: ignore[arg-type]


def consistent_of_a_pair() -> None:
    sr.Consistent(pair, sr.BlockAverageProjector(1))(torch.rand(1, 1, 2, 2))  # type: ignore[arg-type]


def input_as_list() -> None:
    sr.robustness_loss(net, [0.1, 0.2, 0.3], 0.1)  # type: ignore[arg-type]


def ball_class() -> None:
    sr.robustness_loss(net, Y, 0.1, ball=sr.L2)  # type: ignore[arg-type]


def ball_in_words() -> None:
    sr.sensitivity(net, Y, 0.1, ball="l2")  # type: ignore[arg-type]


def attack_class() -> None:
    sr.robustness_loss(net, Y, 0.1, attack=sr.PGD)  # type: ignore[arg-type]


def attack_in_words() -> None:
    sr.sensitivity(net, Y, 0.1, attack="pgd")  # type: ignore[arg-type]


def attack_by_position() -> None:
    sr.sensitivity(net, Y, 0.1, 1, sr.PGD(3))  # type: ignore[call-arg]


def attack_misspelt() -> None:
    sr.mean_sensitivity(net, Y, 0.1, atack=sr.PGD(3))  # type: ignore[call-arg]


def option_of_a_wrong_type() -> None:
    sr.mean_sensitivity(net, Y, 0.1, ball=sr.Linf)  # type: ignore[arg-type]


def sampler_of_one() -> None:
    sr.robustness_loss(of_two, Y, 0.1, sample_z=of_image_only)  # type: ignore[arg-type]


def sampler_that_needs_a_generator() -> None:
    sr.robustness_loss(of_two, Y, 0.1, sample_z=needs_a_generator)  # type: ignore[arg-type]


def seed_for_a_generator() -> None:
    sr.sensitivity(net, Y, 0.1, generator=0)  # type: ignore[arg-type]


def unknown_reduction() -> None:
    sr.robustness_loss(net, Y, 0.1, reduction="none")  # type: ignore[arg-type]


def unknown_statistics() -> None:
    sr.robustness_loss(net, Y, 0.1, norm_statistics="frozen")  # type: ignore[arg-type]


def steps_in_words() -> None:
    sr.PGD(steps="many")  # type: ignore[arg-type]


def real_and_generated_by_position() -> None:
    sr.precision_recall(Y, Y)  # type: ignore[call-overload]


def real_alone() -> None:
    sr.frechet_distance(real=Y)  # type: ignore[call-arg]


def moments_by_position() -> None:
    sr.frechet_distance(Y, Y)  # type: ignore[call-arg]


def samples_without_their_number() -> None:
    sr.per_pixel_std(Y)  # type: ignore[call-arg]


def projector_class() -> None:
    sr.consistency_psnr(Y, Y, sr.BlockAverageProjector)  # type: ignore[arg-type]


def generator_left_out() -> None:
    sr.HiddenNoise(net, 0)  # type: ignore[arg-type]
