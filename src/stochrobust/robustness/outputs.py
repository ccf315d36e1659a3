"""Sensitivity of an estimator: how far its output moves, at held seeds, when its input moves inside a ball.

Eq. 2, 3, 6 and 7 of the paper; Eq. 4 and 5 are in :mod:`stochrobust.transport`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor, nn

from stochrobust._tensors import Tree, rounded_step, squared_change, working
from stochrobust.attacks.ascent import Method, expanded_reference, finite_outputs, full_length_point, prepare, records
from stochrobust.attacks.balls import L2, Ball
from stochrobust.attacks.by_gradient import EVALUATION
from stochrobust.attacks.measured import ascend
from stochrobust.estimators.contract import Estimator, NormStatistics
from stochrobust.estimators.diagnosis import Concern, concerns_about, rounded_away, warn
from stochrobust.estimators.first_call import check_first_call
from stochrobust.estimators.left_as_found import autograd_possible, out_of_inference
from stochrobust.estimators.same_seed import SameSeed, check_delta
from stochrobust.estimators.seeds import Randomness, SampleZ


@dataclass(frozen=True, repr=False)
class Sensitivity:
    """What a measurement found, per sample, with what is needed to judge it.

    Attributes:
        value: (B,) Eq. 6, squared: the change at ``delta``, on seeds that did not choose it (where ``held_out``).
        delta: (B, ...) the perturbation found, inside the ball.
        z: the seeds that chose ``delta``; None where the estimator takes none.
        in_sample: (B,) the change on the seeds that chose ``delta``; at least ``value`` on average.
        held_out: whether ``value`` is on other seeds; False where the caller gave ``z``.
        trace: (steps + 1, B) the change along the ascent that won; where it keeps the best iterate, one row more, for
            that one's mirror image ``-delta``; a search without gradients has a row for each value it asked for.
        restart_values: (restarts, B) what each restart reached.
        random_value: (B,) the change along one random direction of full length: what no search at all finds.
        norm: (B,) the ball's norm of ``delta``.
        at_boundary: (B,) whether ``delta`` lies on the sphere (to 0.1 %).
        stalled: (B,) True where the gradient was zero at every step: nothing was searched, no sign of robustness.
        gain: (B,) ``||change|| / ||delta||_2``, delta as y of half precision takes it; NaN where delta is zero.
        spread: (B,) the outputs' variance at y, summed over elements; NaN for one seed.
        concerns: why the value may say less than it seems to, in sentences; each is an :class:`AttackWarning` too.

    Example:
        >>> import torch
        >>> found = sensitivity(lambda y: 3 * y, torch.zeros(1, 2), eps=0.1)
        >>> round(found.gain.item(), 4), found.at_boundary.item(), found.concerns
        (3.0, True, ())
    """

    value: Tensor
    delta: Tensor
    z: Tree
    in_sample: Tensor
    held_out: bool
    trace: Tensor
    restart_values: Tensor
    random_value: Tensor
    norm: Tensor
    at_boundary: Tensor
    stalled: Tensor
    gain: Tensor
    spread: Tensor
    concerns: tuple[Concern, ...] = ()

    def summary(self) -> str:
        """What was found in a few lines, without the tensors.

        Example:
            >>> import torch
            >>> print(sensitivity(lambda y: 3 * y, torch.zeros(2, 2), eps=0.1).summary())
            Sensitivity of 2 inputs: change 0.3 (root mean square), 3 times delta
              along one random direction 0.3; the restarts agree to 100%
        """
        if not bool(self.delta.any()):
            return (
                f"Sensitivity of {len(self.value)} inputs: delta is zero at all of them, so that nothing was measured"
            )
        change, random = self.value.mean().sqrt().item(), self.random_value.mean().sqrt().item()
        changed = bool(self.restart_values.any())
        agreement = (
            f"the restarts agree to {self.agreement.nanmean().item():.0%}" if changed else "no restart found any"
        )
        seeds = "" if self.held_out else ", on the seeds given"
        lines = [
            f"Sensitivity of {len(self.value)} inputs: change {change:.3g} (root mean square{seeds}), "
            f"{self.gain.nanmean().item():.3g} times delta",
            f"  along one random direction {random:.3g}; {agreement}",
        ]
        if not bool(self.spread.isnan().all()):
            lines.append(f"  the seeds of one input spread by {self.spread.nanmean().sqrt().item():.3g}")
        inside, stalled = int((~self.at_boundary).sum()), int(self.stalled.sum())
        lines += [f"  delta stayed inside the ball for {inside} of the inputs"] * bool(inside)
        lines += [f"  nothing was searched for {stalled} of the inputs, at zero gradient"] * bool(stalled)
        if self.concerns:
            lines.append("  doubts: " + "; ".join(concern.code or concern for concern in self.concerns))
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.summary()

    @property
    def agreement(self) -> Tensor:
        """(B,) the least of the restarts' values over the largest: near 1 where all found the same hill."""
        return self.restart_values.amin(0) / self.restart_values.amax(0)


def sensitivity(
    G: Estimator,
    y: Tensor,
    eps: float | Tensor,
    n_seeds: int = 1,
    *,
    z: Tree = None,
    sample_z: SampleZ | None = None,
    cond: Tree = None,
    attack: Method = EVALUATION,
    ball: Ball = L2(),  # noqa: B008 (a frozen value)
    reference: Tensor | None = None,
    module: nn.Module | None = None,
    generator: Randomness = None,
    max_batch: int | None = None,
) -> Sensitivity:
    r"""Sensitivity of a stochastic estimator at common seeds, squared.

    ``max_{||delta|| <= eps} E_Z ||G(y, Z) - G(y + delta, Z)||_2^2`` (Eq. 6; Eq. 2 for a deterministic G), a sum over
    output elements. What an ascent finds is a lower bound of the maximum.

    Args:
        G: the estimator, ``G(y, z)`` or ``G(y)``, see :mod:`stochrobust.estimators`; used in the mode it is in.
        y: (B, ...) degraded inputs, floating point.
        eps: radius, a number or (B,), absolute, in units of y over all its elements.
        n_seeds: seeds per input, S; 1 for a deterministic G.
        z: seeds to use, rows (B * S, ...), sample-major; they choose delta and score it.
        sample_z: ``sample_z(y, generator) -> z`` for the expanded batch, where G has no such method.
        cond: further inputs, batch first, passed on as ``G(y, z, cond)``.
        attack: the ascent, e.g. :class:`~stochrobust.PGD`.
        ball: where delta may be, :class:`~stochrobust.L2` or :class:`~stochrobust.Linf`.
        reference: (B, ...) what the attack drives the outputs away from, such as the ground truth x (the released code
            of Choi et al., ICCV 2019, with a start at zero); None: from their own values at y (Eq. 6). ``value`` is
            the change from those in either case, and ``trace`` and ``restart_values`` are what the attack climbed.
        module: the module to leave as it was, where G is a closure over it.
        generator: source of seeds and starts: a ``torch.Generator``, :class:`~stochrobust.SampleKeys`, or None for
            torch's global generator.
        max_batch: the most rows one call of G may get; None: all.

    Returns:
        The measurement; no gradients. Works under ``no_grad`` and ``inference_mode``.

    Raises:
        ValueError: for bad shapes, radii, masks or boxes, or if G returns NaN or infinity, naming the step.
        TypeError: for arguments of a wrong kind.

    Warns:
        AttackWarning: if the value says less than it seems to, for instance if G ignores y or its seeds, if its output
            for a sample depends on the rest of the batch, or if the gradient vanished.

    Example:
        >>> import torch
        >>> A = torch.diag(torch.tensor([3.0, 1.0]))
        >>> found = sensitivity(lambda y: y @ A, torch.zeros(1, 2), eps=0.1)
        >>> round(found.value.item(), 4)  # (eps * sigma_max(A))^2
        0.09

    Source: Eq. 6 of the paper.
    """
    options: dict[str, Any] = {
        "sample_z": sample_z, "cond": cond, "module": module, "generator": generator, "max_batch": max_batch
    }  # fmt: skip
    with torch.no_grad(), autograd_possible():
        held = SameSeed(G, y, n_seeds, z=z, **options)
        eps, centre = prepare(held, eps, ball, attack, reference)
        clean = finite_outputs(held, None, "at y")
        away_from = (
            held.reference(recording=records(attack))
            if reference is None
            else expanded_reference(reference, clean, n_seeds)
        )
        found = ascend(held, away_from, ball, attack, centre, eps, generator)
        fresh = SameSeed(G, y, n_seeds, first_seed=n_seeds, **options) if held.draws_seeds else held
        fresh_clean = finite_outputs(fresh, None, "at y, with held-out seeds") if held.draws_seeds else clean
        attacked = finite_outputs(fresh, found.delta, "at y + delta")
        value = fresh.mean_over_seeds(squared_change(fresh_clean, attacked))
        random = full_length_point(ball, centre, eps, generator)
        random_value = fresh.change(random, fresh_clean)
        norm, length = ball.norm(found.delta), L2().norm(rounded_step(held.y, found.delta))
        concerns = concerns_about(fresh, fresh_clean, eps, value, random_value, found.stalled, attacked, found.delta)
        concerns += rounded_away(L2().norm(found.delta), length, held.y.dtype)
        warn(concerns)
        return Sensitivity(
            value=value,
            delta=found.delta,
            z=held.z,
            in_sample=found.value if reference is None else held.change(found.delta, clean),
            held_out=held.draws_seeds,
            trace=found.trace,
            restart_values=found.restart_values,
            random_value=random_value,
            norm=norm,
            at_boundary=norm >= 0.999 * eps,
            stalled=found.stalled,
            gain=value.sqrt() / length,
            spread=_spread(clean, n_seeds),
            concerns=concerns,
        )


def mean_sensitivity(
    G: Estimator, y: Tensor, eps: float | Tensor, n_seeds: int = 1, **options: Unpack[Options]
) -> Tensor:
    """Robustness of an estimator over a batch: the mean of :func:`sensitivity` (Eq. 7; Eq. 3 if deterministic).

    Args:
        G, y, eps, n_seeds: as in :func:`sensitivity`.
        options: its further arguments.

    Returns:
        A scalar, squared, without gradient.

    Raises:
        TypeError, ValueError: as :func:`sensitivity`.

    Example:
        >>> import torch
        >>> mean_sensitivity(lambda y: 2 * y, torch.zeros(5, 1), eps=0.5).item()
        1.0

    Source: Eq. 7 of the paper.
    """
    return sensitivity(G, y, eps, n_seeds, **options).value.mean()


def same_seed_change(
    G: Estimator,
    y: Tensor,
    delta: Tensor,
    n_seeds: int = 1,
    *,
    z: Tree = None,
    sample_z: SampleZ | None = None,
    cond: Tree = None,
    module: nn.Module | None = None,
    generator: Randomness = None,
    max_batch: int | None = None,
    norm_statistics: NormStatistics = "batch",
    check: bool = True,
) -> Tensor:
    """``E_Z ||G(y, Z) - G(y + delta, Z)||_2^2`` at a given perturbation: what Eq. 6 maximises.

    Args:
        delta: (B, ...) perturbation of y; gradients flow to it.
        G, y, n_seeds, z, sample_z, cond, module, generator, max_batch: as in :func:`sensitivity`.
        norm_statistics, check: as in :func:`~stochrobust.robustness_loss`.

    Returns:
        (B,), a sum over output elements, differentiable in G's parameters, y and delta.

    Raises:
        ValueError, TypeError: as :func:`sensitivity`; NaN outputs propagate.

    Example:
        >>> import torch
        >>> same_seed_change(lambda y: 3 * y, torch.zeros(1, 2), torch.ones(1, 2)).item()
        18.0

    Source: Eq. 6 of the paper.
    """
    with autograd_possible():
        held = SameSeed(
            G, y, n_seeds, z=z, sample_z=sample_z, cond=cond, module=module, generator=generator, max_batch=max_batch,
            norm_statistics=norm_statistics,
        )  # fmt: skip
        delta = out_of_inference(check_delta(delta, y))
        clean = held.outputs() if len(held.chunks) == 1 else None
        if check:
            check_first_call(held, clean)
        return held.change(delta, clean)


def _spread(clean: Tensor, n_seeds: int) -> Tensor:
    """The unbiased variance over seeds, summed over elements, (B,)."""
    samples = working(clean).reshape(-1, n_seeds, clean[0].numel())
    if n_seeds == 1:
        return samples.new_full((len(samples),), torch.nan)
    return samples.var(dim=1).sum(1)


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
