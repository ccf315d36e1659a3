"""The regularizer with a robustness to reach instead of a weight to guess."""

from __future__ import annotations

import functools
import math
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from stochrobust._arguments import check_callable_or_none, check_choice, check_count, check_real
from stochrobust._tensors import Tree
from stochrobust.attacks.ascent import Method, check_attack, check_ball, maximise, prepare, records
from stochrobust.attacks.balls import L2, Ball, check_radius, shown_radius
from stochrobust.attacks.by_gradient import EVALUATION, TRAINING
from stochrobust.consistency.estimator import Consistent
from stochrobust.estimators.contract import NORM_STATISTICS, Estimator, NormStatistics
from stochrobust.estimators.diagnosis import AttackWarning, warn
from stochrobust.estimators.first_call import check_first_call
from stochrobust.estimators.left_as_found import autograd_possible
from stochrobust.estimators.same_seed import SameSeed
from stochrobust.estimators.seeds import Randomness, SampleZ
from stochrobust.losses.eq7 import Evaluated, evaluated, squared_amplification
from stochrobust.losses.record import LossRecord, record_of

SMALLEST, LARGEST = 1e-4, 1e4
"""Between these the weight moves."""
FURTHEST = 5.0
"""No step goes by more than that much of the logarithm of found over target."""
NEWEST = 0.5
"""The share of the newest check in the ratio of the strong attack's value to one's own."""


class RobustnessTarget(nn.Module):
    r"""Robustness loss that finds its own weight: state how robust the estimator is to be, and add the loss as it is.

    ``weight * E_Y (||change||^2 / n_x) / (eps^2 / n_y)`` (Eq. 7 as squared amplification, see
    :func:`~stochrobust.robustness_loss`), with ``log weight += rate * (log found^2 - log target^2)`` after each call:
    while outputs move more than they are to, the weight grows. The loss's own attack finds less than there is; so every
    ``check_every`` calls a strong one is made on the batch, and its value over the own one's, smoothed, scales what is
    compared with the target.

    The weight is not moved in eval mode, without gradients, with ``delta=``, or where the value is not finite. An
    ordinary call reads nothing from the device. Where ``torch.distributed`` is initialised, found values are averaged
    over all processes, so that their weights agree; every process must then call it in step.

    Args:
        eps, n_seeds: as in :func:`~stochrobust.robustness_loss`.
        amplification: what the strong attack may find: how far outputs move, per element, for one unit per element of
            the input; the root of the mean of its square over samples. An estimator that puts y itself into its output
            (known pixels, a projector) cannot go below about 1.
        psnr: the same as decibels of the mean squared change per output element, at a range of 1,
            ``-10 log10 mean(||change||^2 / n_x)``. One of the two.
        weight: to start from.
        rate: of its logarithm's moves, per call.
        check_every: calls between two strong attacks, the first of which is made in the first call; 0 for none.
        strong: that attack.
        sample_z, attack, ball, max_batch, norm_statistics, check: as in :func:`~stochrobust.robustness_loss`.

    Attributes:
        last: a :class:`LossRecord` of the last call; None before the first.

    Raises:
        TypeError, ValueError: naming the setting. The rest is checked when called.

    Warns:
        AttackWarning: once, if the target lies below what the projector of a :class:`Consistent` leaves, or the weight
            is at its end and the target is not reached.

    Example:
        >>> import torch
        >>> G = torch.nn.Linear(3, 3)
        >>> robustness = RobustnessTarget(eps=0.1, amplification=1.5)
        >>> robustness(G, torch.rand(8, 3)).backward()
        >>> robustness.last.weight.item()
        1.0

    Source: Eq. 7 and 8 of the paper for the loss; the weight is the multiplier of a constraint, on a logarithmic scale,
    as in D. Bertsekas, Constrained Optimization and Lagrange Multiplier Methods, 1982.
    """

    last: LossRecord | None = None
    log_weight: Tensor
    log_ratio: Tensor

    def __init__(
        self,
        eps: float | Tensor,
        n_seeds: int = 1,
        *,
        amplification: float | None = None,
        psnr: float | None = None,
        weight: float = 1.0,
        rate: float = 0.03,
        check_every: int = 500,
        strong: Method = EVALUATION,
        sample_z: SampleZ | None = None,
        attack: Method = TRAINING,
        ball: Ball = L2(),  # noqa: B008 (a frozen value)
        max_batch: int | None = None,
        norm_statistics: NormStatistics = "batch",
        check: bool = True,
    ) -> None:
        super().__init__()
        if (amplification is None) == (psnr is None):
            raise ValueError(f"give amplification or psnr, one of them, got {amplification!r} and {psnr!r}")
        if amplification is not None:
            check_real("amplification", amplification, minimum=0.0, open_minimum=True)
        else:
            check_real("psnr", psnr)
        check_radius(eps)
        check_count("n_seeds", n_seeds)
        check_callable_or_none("sample_z", sample_z)
        for method in (attack, strong):
            check_attack(method)
        check_ball(ball)
        if max_batch is not None:
            check_count("max_batch", max_batch)
        check_choice("norm_statistics", norm_statistics, NORM_STATISTICS)
        self.amplification, self.psnr = amplification, psnr
        start = check_real("weight", weight, minimum=0.0, open_minimum=True)
        self.rate = check_real("rate", rate, minimum=0.0)
        self.check_every = check_count("check_every", check_every, minimum=0)
        self.eps, self.n_seeds, self.sample_z, self.strong = eps, n_seeds, sample_z, strong
        self.attack, self.ball, self.max_batch, self.check = attack, ball, max_batch, check
        self.norm_statistics: NormStatistics = norm_statistics
        self.register_buffer("log_weight", torch.tensor(math.log(start), dtype=torch.float32))
        self.register_buffer("log_ratio", torch.zeros((), dtype=torch.float32))
        self._calls, self._told = 0, False

    def forward(
        self,
        G: Estimator,
        y: Tensor,
        *,
        z: Tree = None,
        cond: Tree = None,
        delta: Tensor | None = None,
        module: nn.Module | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """The weighted loss of G on y, (B, ...): a scalar to add to the others.

        Args:
            G, y, z, cond, delta, module, generator: as in :func:`~stochrobust.robustness_loss`.
        """
        with autograd_possible():
            hold = functools.partial(
                SameSeed, G, y, self.n_seeds, sample_z=self.sample_z, cond=cond, module=module, generator=generator,
                max_batch=self.max_batch, norm_statistics=self.norm_statistics,
            )  # fmt: skip
            held = hold(z=z)
            found = evaluated(held, self.eps, self.attack, self.ball, delta, generator)
            if self.check:
                check_first_call(held, found.clean)
            self._move_to(found.change.device)
            weight = self.log_weight.exp()
            self.last = record_of(found, self.ball, y[0].numel(), weight)
            loss = weight * self._squared(found.change, found).mean()
            if self.training and torch.is_grad_enabled() and delta is None:
                if self.check_every and self._calls % self.check_every == 0:
                    fresh = hold(first_seed=self.n_seeds) if held.draws_seeds else held
                    self._check_strong(held, fresh, found, generator)
                self._adapt(found)
                self._calls += 1
        return loss

    def log(self, prefix: str = "robustness/") -> dict[str, Tensor]:
        """The record of the last call as names to 0-d tensors; empty before the first.

        Args:
            prefix: of every name.
        """
        return {} if self.last is None else self.last.log(prefix)

    def extra_repr(self) -> str:
        """The target, what it is for, and the weight now."""
        target = f"psnr={self.psnr:g}" if self.amplification is None else f"amplification={self.amplification:g}"
        weight = self.log_weight.exp().item()
        return f"eps={shown_radius(self.eps)}, n_seeds={self.n_seeds}, {target}, weight={weight:.3g}"

    def get_extra_state(self) -> dict[str, int]:
        """How many calls were made: when the next check is."""
        return {"calls": self._calls}

    def set_extra_state(self, state: Any) -> None:
        """Goes on counting there."""
        self._calls = int(state["calls"])

    def _move_to(self, device: torch.device) -> None:
        if self.log_weight.device != device:
            self.to(device)

    def _squared(self, change: Tensor, found: Evaluated) -> Tensor:
        n_inputs = found.delta[0].numel()
        return squared_amplification(change, found.radii, self.ball, found.clean[0].numel(), n_inputs)

    def _error(self, change: Tensor, found: Evaluated) -> Tensor:
        """``log found^2 - log target^2``, in the unit of the target; the mean over processes."""
        if self.amplification is not None:
            value, target = self._squared(change, found).mean(), 2 * math.log(self.amplification)
        else:
            assert self.psnr is not None  # checked above
            value, target = change.mean() / found.clean[0].numel(), -math.log(10) * self.psnr / 10
        value = _mean_over_processes(value.to(torch.float32))
        return value.clamp_min(torch.finfo(torch.float32).tiny).log() - target

    @torch.no_grad()
    def _adapt(self, found: Evaluated) -> None:
        error = (self._error(found.change.detach(), found) + self.log_ratio).clamp(-FURTHEST, FURTHEST)
        moved = (self.log_weight + self.rate * error).clamp(math.log(SMALLEST), math.log(LARGEST))
        self.log_weight.copy_(torch.where(torch.isfinite(error), moved, self.log_weight))

    @torch.no_grad()
    def _check_strong(self, held: SameSeed, fresh: SameSeed, found: Evaluated, generator: Randomness) -> None:
        """What a strong attack finds over what the own one did, on the batch; and what cannot be had.

        The strong one's delta counts on fresh seeds, as in :func:`~stochrobust.sensitivity`: on those that chose it, it
        finds more, as the own attack's value does, which the loss is made of.
        """
        delta = _strongest(held, self.eps, self.strong, self.ball, generator)
        change = fresh.change(delta, fresh.outputs())
        own, strong = self._error(found.change.detach(), found), self._error(change, found)
        newest = strong - own
        if bool(torch.isfinite(newest)):
            self.log_ratio.lerp_(newest.clamp(-FURTHEST, FURTHEST), NEWEST if self._calls else 1.0)
        sentence = self._out_of_reach(held, found, strong)
        if sentence is not None and not self._told:
            self._told = True
            warn((sentence,))

    def _out_of_reach(self, held: SameSeed, found: Evaluated, error: Tensor) -> str | None:
        """Why the target cannot be reached, where that shows."""
        for layer in [] if held.module is None else held.module.modules():
            if isinstance(layer, Consistent):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", AttackWarning)
                    least = layer.projector.pinv(found.delta.to(held.y.dtype)).flatten(1).square().sum(1)
                below = float(self._error(least, found))
                if below > 0.01:
                    return (
                        f"the target is below what consistency leaves: outputs that agree with y move with it, and the "
                        f"least squared change is {math.exp(below):.3g} times the target's; the weight will only grow"
                    )
        if float(self.log_weight) >= math.log(LARGEST) and float(error) > 0.1:
            return f"the weight has grown to its end, {LARGEST:g}, and the target is not reached: out of reach?"
        return None


def _strongest(held: SameSeed, eps: float | Tensor, attack: Method, ball: Ball, generator: Randomness) -> Tensor:
    """(B, ...) the delta that an attack finds."""
    radii, centre = prepare(held, eps, ball, attack)
    recording = records(attack)
    reference = held.reference(recording=recording)
    found = maximise(
        lambda at, with_gradient: held.evaluate(at, reference, with_gradient=with_gradient, recording=recording),
        ball, attack, centre, radii, generator=generator,
    )  # fmt: skip
    return found.delta


def _mean_over_processes(value: Tensor) -> Tensor:
    """The mean over all processes of ``torch.distributed``, if there are several."""
    distributed = torch.distributed
    if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
        return value
    total = value.clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()
