"""An attack without gradients that looks at the outputs, not only at how far they moved."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from stochrobust._arguments import check_count
from stochrobust._tensors import flat, flat_norm, per_sample
from stochrobust.attacks.ascent import Found
from stochrobust.attacks.balls import Ball
from stochrobust.attacks.secants import Secants
from stochrobust.estimators.seeds import SampleKeys, draw_like

FIRST = 0.1  # of the passes go to points all over the ball
TRIALS = 4  # directions from the best point, between two steps of the model
MODES = 64  # lowest frequencies at least; a small y is white
TRUST = 0.5, 1e-3, 2.0  # radii: at first, at least, at most


@dataclass(frozen=True)
class SubspaceSearch:
    """The best direction in the span of what was tried: for restorers that have no gradient.

    A pass gives a whole change of the outputs, not a number. Near zero that is ``J delta``, so that after k passes the
    largest change over all combinations of the k directions is known without another pass: it is the largest singular
    value of the changes on their span (Rayleigh-Ritz). A tenth of the passes tries directions all over the ball: of
    low frequency, and white. The others climb from the best point: four directions, then one step to the best point
    of the linear model through the points nearby, within a radius of trust that grows where the model had predicted
    the value and shrinks where it had not. Directions are white, of low frequency, white under the envelope of the
    best delta, and the last change of the outputs itself, brought to y's size, for which J need only be nearly
    symmetric (a denoiser, an upscaler).

    It keeps 66 changes of the outputs for each row in work. With ``max_batch``, one call's rows are in work at a time,
    or as many calls' as end with a sample (a ``max_batch`` that is a multiple or a divisor of ``n_seeds`` is best).

    Args:
        steps: passes of G per input beyond the clean one; a pass takes all seeds.

    Raises:
        TypeError, ValueError: naming the setting.

    Example:
        >>> import torch
        >>> from stochrobust import sensitivity
        >>> A = torch.diag(torch.tensor([3.0, 1.0, 0.5]))
        >>> def restorer(y):  # no gradient passes through numpy
        ...     return torch.from_numpy(y.numpy() @ A.numpy())
        >>> found = sensitivity(restorer, torch.zeros(1, 3), eps=0.1, attack=SubspaceSearch(30))
        >>> round(found.value.item(), 4)  # (eps * sigma_max(A))^2
        0.09

    Source: Rayleigh-Ritz on secants; the trust region is that of J. E. Dennis and R. B. Schnabel, Numerical Methods
    for Unconstrained Optimization and Nonlinear Equations, 1983, section 6.4.
    """

    steps: int = 200

    def __post_init__(self) -> None:
        check_count("steps", self.steps)

    def search_outputs(
        self, changes: Callable[[Tensor], Tensor], ball: Ball, y: Tensor, eps: Tensor, keys: SampleKeys
    ) -> Found:
        """Search the ball around y.

        Args:
            changes: ``changes(delta) -> (B, S, ...)``, the outputs' change at delta, seed by seed.
            ball, y, eps: as in :func:`~stochrobust.attacks.ascent.maximise`.
            keys: of the random directions.
        """
        climb = _Climb(changes, ball, y, eps, keys)
        first = max(1, round(FIRST * self.steps))
        trust, scale = torch.full_like(climb.radius, TRUST[0]), climb.radius
        for step in range(self.steps):
            if step < first:
                climb.offer(climb.at_full_length(climb.white() if step % 2 else climb.low()))
                scale = climb.radius
            elif step == first:
                target, _ = climb.secants.ahead(2 * scale, scale)
                climb.offer(climb.at_full_length(target.reshape(y.shape)))
            elif (step - first) % (TRIALS + 1):
                climb.offer(climb.beside(climb.direction((step - first) % (TRIALS + 1)), trust))
            else:
                trust = climb.follow_model(trust)
        return climb.found()


class _Climb:
    """The best point so far and what is known around it."""

    def __init__(
        self, changes: Callable[[Tensor], Tensor], ball: Ball, y: Tensor, eps: Tensor, keys: SampleKeys
    ) -> None:
        self.changes, self.ball, self.y, self.eps, self.keys = changes, ball, y, eps, keys
        self.delta, self.change = torch.zeros_like(y), changes(torch.zeros_like(y))
        self.last, self.n_seeds = self.change, self.change.shape[1]
        self.secants = Secants(flat(self.delta), flat(self.change))
        self.value = self._value(self.change)
        self.radius = torch.zeros(len(y), dtype=torch.float64, device=y.device)
        self.trace = [self.value]

    def _value(self, change: Tensor) -> Tensor:
        return flat(change).square().sum(1) / self.n_seeds

    def offer(self, delta: Tensor) -> Tensor:
        """One pass: its value; the point is the best one from now on where it is better."""
        change = self.changes(delta)
        value = self._value(change)
        better = value > self.value
        self.secants.add(flat(delta), flat(change), better)
        self.last = torch.where(per_sample(better, change), change, change - self.change)
        self.delta = torch.where(per_sample(better, delta), delta, self.delta)
        self.change = torch.where(per_sample(better, change), change, self.change)
        self.value = torch.where(better, value, self.value)
        self.radius = torch.maximum(self.radius, flat_norm(delta).double())
        self.trace.append(self.value)
        return value

    def follow_model(self, trust: Tensor) -> Tensor:
        """One pass at the model's best point within ``trust`` radii; the trust that it has earned."""
        before = self.value.double()
        target, predicted = self.secants.ahead(trust * self.radius, self.radius)
        gain = self.offer(self.ball.project(target.reshape(self.y.shape), self.y, self.eps)).double() - before
        kept = gain > 0.25 * (predicted / self.n_seeds - before)
        _, least, most = TRUST
        grown, shrunk = (2 * trust).clamp_max(most), (trust / 2).clamp_min(least)
        return torch.where(kept, grown, torch.where(gain > 0, trust, shrunk))

    def at_full_length(self, direction: Tensor) -> Tensor:
        """A point as far out as the ball allows."""
        return self.ball.project(self.ball.direction(direction) * per_sample(self.eps, self.y), self.y, self.eps)

    def beside(self, direction: Tensor, trust: Tensor) -> Tensor:
        """A point ``trust`` radii from the best one."""
        length = per_sample(trust.to(self.eps) * self.eps, self.y)
        return self.ball.project(self.delta + self.ball.direction(direction) * length, self.y, self.eps)

    def direction(self, turn: int) -> Tensor:
        """White, enveloped, low and mapped back, in turn."""
        if turn == 1:
            return self.white()
        if turn == 2:
            return self.white() * envelope(self.delta)
        mapped = None if turn == 3 else mapped_back(self.last.mean(1), self.y)
        return self.low() if mapped is None else mapped

    def white(self) -> Tensor:
        """Independent normal numbers."""
        return draw_like(self.y, self.keys, f"direction {len(self.trace)}")

    def low(self) -> Tensor:
        """White below a frequency: 1/64, 1/16 or 1/4 of all modes, in turn."""
        return low_pass(self.white(), 4.0 ** -(1 + len(self.trace) // 2 % 3))

    def found(self) -> Found:
        """The best point."""
        nowhere = torch.zeros_like(self.eps, dtype=torch.bool)
        return Found(self.delta, self.value, torch.stack(self.trace), self.value[None], nowhere)


def low_pass(white: Tensor, share: float) -> Tensor:
    """Noise (B, ...) of which the lowest ``share`` of cosine modes are left, along the last one or two dimensions.

    Those are height and width of images (B, C, H, W). At least 64 modes stay.
    """
    dims = range(max(1, white.ndim - 2), white.ndim)
    total = math.prod(white.shape[dim] for dim in dims)
    kept = min(1.0, max(share, MODES / max(total, 1))) ** (1 / max(len(dims), 1))
    for dim in dims:
        n = white.shape[dim]
        k = math.ceil(n * kept)
        grid = torch.arange(n, dtype=white.dtype, device=white.device)
        modes = torch.cos(math.pi / n * (grid[:, None] + 0.5) * grid[:k])
        white = (white.narrow(dim, 0, k).movedim(dim, -1) @ modes.T).movedim(-1, dim)
    return white


def envelope(delta: Tensor) -> Tensor:
    """The local root mean square of images (B, C, H, W) over 3 x 3 pixels and all channels; ones for other shapes."""
    if delta.ndim != 4:
        return torch.ones_like(delta)
    return F.avg_pool2d(delta.square().mean(1, keepdim=True), 3, stride=1, padding=1).sqrt()


def mapped_back(change: Tensor, y: Tensor) -> Tensor | None:
    """A change of outputs as a direction in y: as it is, or images averaged to its size; None if neither fits."""
    if change.shape == y.shape:
        return change.to(y.dtype)
    if change.ndim == 4 == y.ndim and change.shape[1] == y.shape[1]:
        return F.adaptive_avg_pool2d(change, (y.shape[2], y.shape[3])).to(y.dtype)
    return None
