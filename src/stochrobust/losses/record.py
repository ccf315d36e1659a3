"""What a call of the loss did, for whoever watches the training."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from stochrobust.attacks.balls import Ball
from stochrobust.losses.eq7 import Evaluated, squared_amplification


@dataclass(frozen=True)
class LossRecord:
    """One call of :class:`RobustnessLoss` or :class:`RobustnessTarget`, in detached 0-d tensors on y's device.

    Nothing is read from the device before you read it.

    Attributes:
        amplification: scalar, root of the mean squared amplification that the call's own attack found: 1 where outputs
            move as far per element as the input.
        random_share: scalar, the change at the attack's random start over that at the delta found: near 1, the attack
            found nothing; NaN where delta was given.
        at_boundary: scalar, share of samples whose delta lies on the sphere, to 0.1 %.
        stalled: scalar, share of samples where every gradient was exactly zero: nothing was searched.
        weight: scalar, what the loss was multiplied by; 1 for :class:`RobustnessLoss`.
        passes: number of calls of G for all rows: clean, of the attack, attacked.

    Example:
        >>> import torch
        >>> from stochrobust import RobustnessLoss
        >>> loss = RobustnessLoss(eps=0.1)
        >>> _ = loss(lambda y: 3 * y, torch.zeros(1, 2))
        >>> round(loss.last.amplification.item(), 4), int(loss.last.passes)
        (3.0, 5)
    """

    amplification: Tensor
    random_share: Tensor
    at_boundary: Tensor
    stalled: Tensor
    weight: Tensor
    passes: Tensor

    def log(self, prefix: str = "robustness/") -> dict[str, Tensor]:
        """The numbers by name, as loggers take them.

        Args:
            prefix: of every name.

        Returns:
            Names to 0-d tensors.
        """
        return {prefix + field.name: getattr(self, field.name) for field in fields(self)}


def record_of(evaluated: Evaluated, ball: Ball, n_inputs: int, weight: Tensor | None = None) -> LossRecord:
    """The record of one evaluation."""
    change, radii = evaluated.change.detach(), evaluated.radii
    squared = squared_amplification(change, radii, ball, evaluated.clean[0].numel(), n_inputs).mean()
    start, found = evaluated.start_value, evaluated.found
    return LossRecord(
        amplification=squared.sqrt(),
        random_share=change.new_full((), torch.nan) if start is None else start.sum() / change.sum(),
        at_boundary=(ball.norm(evaluated.delta) >= 0.999 * radii).to(change.dtype).mean(),
        stalled=change.new_zeros(()) if found is None else found.stalled.to(change.dtype).mean(),
        weight=change.new_ones(()) if weight is None else weight.detach(),
        passes=change.new_full((), float(evaluated.passes)),
    )
