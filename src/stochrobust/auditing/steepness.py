"""How steep a restorer is beside a linear one of the same pairs, at how many inputs, and whether its law excuses it."""

from __future__ import annotations

import torch
from torch import Tensor

from stochrobust.auditing.findings import AuditNumber
from stochrobust.auditing.numbers import Measured, root_of_means
from stochrobust.auditing.thresholds import LARGE_AMPLIFICATION, LARGE_CHANGE, STEEP
from stochrobust.metrics.intervals import interval_of_mean
from stochrobust.metrics.linear import linear_reference

FOLDS = 5
AT_MOST = 1000
"""Pairs that the reference is made of: the first so many."""
MOST_NUMBERS = 2**26
"""And no more numbers than these, 256 MB of them."""


class Pairs:
    """Inputs and sources of the data, kept for the linear reference as far as memory allows."""

    def __init__(self) -> None:
        self.y: list[Tensor] = []
        self.x: list[Tensor] = []
        self.n = 0

    def add(self, y: Tensor, x: Tensor) -> None:
        """Keep those of a batch that there is room for."""
        room = min(AT_MOST, MOST_NUMBERS // (y[0].numel() + x[0].numel())) - self.n
        if room > 0:
            self.y.append(y[:room].detach().flatten(1).float().cpu())
            self.x.append(x[:room].detach().flatten(1).float().cpu())
            self.n += len(self.y[-1])

    def amplification(self) -> AuditNumber | None:
        """Of the linear restorer; None of fewer pairs than it takes, or where y is one and the same."""
        if self.n < 2 * FOLDS:
            return None
        y = torch.cat(self.y)
        if not bool((y != y[0]).any()):
            return None
        found = linear_reference(y, torch.cat(self.x), folds=FOLDS)
        value = found.amplification[found.chosen]
        return AuditNumber(value, value, value, self.n)


def steepness(measured: Measured, pairs: Pairs, level: float) -> dict[str, AuditNumber]:
    """The reference; the share of attacked inputs that are steep beside it; spread over error at those.

    Steep is an input whose output moves by over ``STEEP`` times as much as the linear restorer's, over twice as much as
    delta, and over half of the error.
    """
    reference = pairs.amplification()
    if reference is None or "change" not in measured:
        return {}
    change, error = measured["change"].double(), measured["error"].double()
    bound = max(LARGE_AMPLIFICATION, STEEP * reference.estimate)
    steep = (change > bound**2 * measured["length"]) & (change > LARGE_CHANGE**2 * error.mean())
    found = {"amplification_reference": reference}
    if len(steep) > 1:
        share = interval_of_mean(steep, level=level)
        found["steep_share"] = AuditNumber(share.estimate, share.low, share.high, len(steep))
    if "spread" in measured and int(steep.sum()) > 0:
        places = steep.nonzero()[:, 0]
        found["spread_steep"] = root_of_means(measured["spread"][places], measured["law_error"][places], level)
    return found
