"""One evaluation of Eq. 7 on a batch: the clean outputs, the attack, and the change at the delta that it found."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stochrobust.attacks.ascent import Found, Method, maximise, prepare, records
from stochrobust.attacks.balls import Ball, Linf
from stochrobust.estimators.left_as_found import out_of_inference
from stochrobust.estimators.same_seed import SameSeed, check_delta
from stochrobust.estimators.seeds import Randomness


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation found, per sample.

    Attributes:
        change: (B,) ``E_z ||G(y, z) - G(y + delta, z)||^2``, a sum over output elements, differentiable.
        clean: (B * S, ...) the outputs at y.
        delta: (B, ...) where.
        radii: (B,) eps.
        found: what the attack says; None where delta was given.
        start_value: (B,) the change at the attack's random start; None where there was none.
        passes: calls of G, each of all rows.
    """

    change: Tensor
    clean: Tensor
    delta: Tensor
    radii: Tensor
    found: Found | None
    start_value: Tensor | None
    passes: int


def evaluated(
    held: SameSeed, eps: float | Tensor, attack: Method, ball: Ball, delta: Tensor | None, generator: Randomness
) -> Evaluated:
    """Eq. 7 for estimators with held seeds, at the delta that the attack finds, or at one found elsewhere."""
    radii, centre = prepare(held, eps, ball, attack)
    whole = len(held.chunks) == 1
    # One clean pass serves the ascent and the loss; in chunks its graph is not kept and made again.
    with torch.set_grad_enabled(torch.is_grad_enabled() and whole):
        clean = held.outputs()
    passes, found, values = 2 if whole else 3, None, []
    if delta is None:
        recording = records(attack)
        reference = clean.detach()
        if clean.requires_grad != recording:
            reference, passes = held.reference(recording=recording), passes + 1

        def objective(at: Tensor, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
            value, gradient = held.evaluate(at, reference, with_gradient=with_gradient, recording=recording)
            values.append(value)
            return value, gradient

        found = maximise(objective, ball, attack, centre, radii, generator=generator, score=False)
        delta = found.delta
    else:
        delta = out_of_inference(check_delta(delta, held.y)).detach()
    change = held.change(delta, clean if whole else None)
    return Evaluated(change, clean, delta, radii, found, values[0] if values else None, passes + len(values))


def squared_amplification(change: Tensor, radii: Tensor, ball: Ball, n_outputs: int, n_inputs: int) -> Tensor:
    """``(||change||^2 / n_x) / (eps^2 / n_y)`` per sample, (B,): 1 where outputs move as the input may.

    In the L-infinity ball every element of y may move by eps, so that ``eps^2`` itself is what one of them does.
    """
    per_element = radii.square() if isinstance(ball, Linf) else radii.square() / n_inputs
    return change / n_outputs / per_element
