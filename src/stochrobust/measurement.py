"""What every measurement by an attack shares: arguments made ready, and a search whose values must be finite."""

from __future__ import annotations

import sys
import warnings
from typing import TypedDict

from torch import Tensor, nn

from stochrobust._arguments import check_finite, check_tensor, describe
from stochrobust.ascent import Found, Method, check_attack, maximise, starting_point
from stochrobust.balls import Ball, check_eps
from stochrobust.diagnosis import diagnose, ignores_input
from stochrobust.same_seed import Pairing, SameSeed, out_of_inference, working
from stochrobust.seeds import Randomness, SampleZ, Tree, repeat

NEARLY_RANDOM = 0.99  # of a random direction's value: an attack that finds less has failed; equal it may well be


class AttackWarning(UserWarning):
    """A measured value that says less than it seems to: see the message.

    Example:
        >>> import warnings
        >>> import torch
        >>> from stochrobust import sensitivity
        >>> with warnings.catch_warnings(record=True, action="always") as caught:
        ...     found = sensitivity(lambda y: torch.ones_like(y), torch.zeros(1, 2), eps=0.1)
        >>> caught[0].category.__name__
        'AttackWarning'
    """


class Options(TypedDict, total=False):
    """The keyword arguments of :func:`~stochrobust.sensitivity`."""

    z: Tree
    sample_z: SampleZ | None
    cond: Tree
    attack: Method
    ball: Ball
    reference: Tensor | None
    module: nn.Module | None
    generator: Randomness
    max_batch: int | None


def prepare(
    held: SameSeed, eps: float | Tensor, ball: Ball, attack: Method, reference: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The radii (B,) and the centre (B, ...), in the precision of delta, checked against the ball and the attack."""
    if isinstance(ball, type) or not hasattr(ball, "random_point"):
        raise TypeError(f"ball must be a ball such as L2() or Linf(), got {describe(ball)}")
    check_attack(attack)
    if getattr(attack, "start", None) == "zero" and reference is None:
        raise ValueError(
            "attack must not have start='zero' without reference=: the gradient of the change from G's own outputs is "
            f"zero there, and nothing would move; got {describe(attack)}"
        )
    centre = working(held.y.detach())
    ball.check(centre)
    return out_of_inference(check_eps(eps, centre)), centre


def expanded_reference(reference: Tensor, clean: Tensor, n_seeds: int) -> Tensor:
    """A reference (B, ...) of the shape of one output per sample, as rows (B * S, ...)."""
    check_tensor("reference", reference)
    shape = (len(clean) // n_seeds, *clean.shape[1:])
    if reference.shape != shape or reference.device != clean.device:
        raise ValueError(f"reference must be a {shape} tensor on {clean.device}, like x_hat, got {describe(reference)}")
    check_finite("reference", reference)
    rows: Tensor = repeat(reference.detach(), n_seeds)
    return rows


def ascend(
    held: SameSeed,
    clean: Tensor,
    ball: Ball,
    attack: Method,
    centre: Tensor,
    eps: Tensor,
    generator: Randomness,
    pair: Pairing | None = None,
) -> Found:
    """A measurement's search: every value is scored and must be finite.

    ``clean`` holds the rows that the outputs are compared with: those at y, or a reference.
    """
    in_one_restart = attack.steps + 1 + (getattr(attack, "keep", "last") == "best") if hasattr(attack, "mover") else 0
    calls = 0

    def objective(delta: Tensor, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
        nonlocal calls
        step = calls % in_one_restart if in_one_restart else calls
        calls += 1
        value, gradient = held.evaluate(delta, clean, pair, with_gradient=with_gradient)
        check_finite(f"G's output at step {step} of the attack", value)
        if gradient is not None:
            check_finite(f"the gradient of G at step {step} of the attack", gradient)
        return value, gradient

    return maximise(objective, ball, attack, centre, eps, generator=generator)


def finite_outputs(held: SameSeed, delta: Tensor | None, where: str) -> Tensor:
    """All outputs, or an error that says where one is not finite."""
    outputs = held.outputs(delta)
    check_finite(f"G's output {where}", outputs)
    return outputs


def full_length_point(ball: Ball, centre: Tensor, eps: Tensor, generator: Randomness) -> Tensor:
    """A point in a random direction, as far out as the ball allows: what no search at all finds."""
    return starting_point("sphere", ball, centre, eps, generator, "random direction")


def concerns_about(
    held: SameSeed,
    clean: Tensor,
    eps: Tensor,
    value: Tensor,
    random_value: Tensor,
    stalled: Tensor,
    random_change: Tensor | None = None,
) -> tuple[str, ...]:
    """Why a measured value may say less than it seems to, in sentences.

    ``random_change`` is the change of the outputs along the random direction, where ``random_value`` is another number.
    """
    blind = ignores_input(random_value if random_change is None else random_change, eps)
    found = [*diagnose(held, clean), blind]
    n_stalled = int(stalled.sum())
    if n_stalled and blind is None:
        found.append(
            f"the gradient of G with respect to y was zero at every step for {n_stalled} of {len(eps)} samples: "
            "nothing was searched there, and a small value is no sign of robustness (a saturated or rounded output?)"
        )
    if float(value.sum()) < NEARLY_RANDOM * float(random_value.sum()):
        found.append(
            f"the attack found less ({float(value.mean()):.3g} on average) than one random direction did "
            f"({float(random_value.mean()):.3g}): take more steps, more seeds, or see attack_evidence"
        )
    return tuple(sentence for sentence in found if sentence is not None)


def warn(concerns: tuple[str, ...]) -> None:
    """Each sentence as a warning, of the line that called the library."""
    outside = 2
    while sys._getframe(outside - 1).f_globals.get("__name__", "").startswith("stochrobust."):
        outside += 1
    for sentence in concerns:
        warnings.warn(sentence, AttackWarning, stacklevel=outside)
