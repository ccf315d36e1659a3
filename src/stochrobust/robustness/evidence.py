"""Whether an attack earned its word "max": its value beside those of attacks that cannot be misled the same way."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stochrobust._arguments import check_count, describe
from stochrobust._tensors import Tree, per_sample
from stochrobust.attacks.ascent import Method, finite_outputs, full_length_point, prepare
from stochrobust.attacks.balls import L2, Ball
from stochrobust.attacks.by_gradient import EVALUATION
from stochrobust.attacks.by_search import RandomSearch
from stochrobust.estimators.contract import Estimator, sampler_of
from stochrobust.estimators.diagnosis import AttackWarning, warn
from stochrobust.estimators.gradients import NoGradientError
from stochrobust.estimators.left_as_found import autograd_possible
from stochrobust.estimators.same_seed import SameSeed
from stochrobust.estimators.seeds import Randomness, SampleZ
from stochrobust.robustness.linearisation import linearised_sensitivity
from stochrobust.robustness.outputs import Sensitivity, sensitivity

MARGIN = 1.05  # a check that finds more than this times the attack's value contradicts it


@dataclass(frozen=True)
class AttackEvidence:
    """What several searches found, per sample: the change (Eq. 6) at each one's delta, on seeds that none of them saw.

    Where the caller gave ``z`` there are no other seeds, and all are scored on those.

    Attributes:
        value: (B,) at the delta of the attack under examination.
        random: (B,) at one random direction of full length: to be beaten.
        gradient_free: (B,) at that of :class:`~stochrobust.RandomSearch`, which sees no gradient.
        transferred: (B,) at that found on the surrogate or, without one, for the previous sample of the batch, in full
            length; NaN for a batch of one without a surrogate.
        linearised: (B,) what the linearisation at y would reach, :func:`~stochrobust.linearised_sensitivity`: exact for
            a linear G, no bound for others; NaN in other balls than the whole L2 ball, and where G cannot be
            differentiated twice.
        masked: (B,) whether a search without G's gradient at y found over 5 % more than the attack did.

    Example:
        >>> import torch
        >>> evidence = attack_evidence(lambda y: 3 * y, torch.zeros(2, 2), eps=0.1, trials=20)
        >>> evidence.masked.tolist(), round(evidence.linearised[0].item(), 4)
        ([False, False], 0.09)
    """

    value: Tensor
    random: Tensor
    gradient_free: Tensor
    transferred: Tensor
    linearised: Tensor
    masked: Tensor


def attack_evidence(
    G: Estimator,
    y: Tensor,
    eps: float | Tensor,
    n_seeds: int = 1,
    *,
    surrogate: Estimator | None = None,
    trials: int = 200,
    z: Tree = None,
    sample_z: SampleZ | None = None,
    cond: Tree = None,
    attack: Method = EVALUATION,
    ball: Ball = L2(),  # noqa: B008 (a frozen value)
    module: nn.Module | None = None,
    generator: Randomness = None,
    max_batch: int | None = None,
) -> AttackEvidence:
    """Examine an attack: does anything that does not trust G's gradients find more than it does?

    An attack by gradients says little where those are wrong: zero, cut off, or of a rough surface. Then a search by
    trial, or a delta that was found elsewhere, finds more, and an :class:`~stochrobust.AttackWarning` says so.

    Args:
        G, y, eps, n_seeds, z, sample_z, cond, attack, ball, module, generator, max_batch: as in
            :func:`~stochrobust.sensitivity`.
        surrogate: an estimator called like G, with G's seeds, whose deltas are tried on G: a transfer attack.
        trials: of the random search, one pass of G each.

    Returns:
        The values side by side; no gradients.

    Raises:
        ValueError, TypeError: as :func:`~stochrobust.sensitivity`.

    Example:
        >>> import torch
        >>> found = attack_evidence(lambda y: 3 * y, torch.zeros(2, 4), eps=0.1)
        >>> found.masked.tolist(), round(found.linearised[0].item(), 4)
        ([False, False], 0.09)

    Source: the checks for masked gradients of A. Athalye, N. Carlini, D. Wagner, Obfuscated Gradients Give a False
    Sense of Security, ICML 2018.
    """
    check_count("trials", trials)
    if not (surrogate is None or callable(surrogate)):
        raise TypeError(f"surrogate must be callable like G, or None, got {describe(surrogate)}")
    sample_z = sampler_of(G) if sample_z is None else sample_z
    options: dict[str, Any] = {"z": z, "sample_z": sample_z, "cond": cond, "generator": generator}
    options |= {"max_batch": max_batch}

    def found_on(estimator: Estimator, attack: Method) -> Sensitivity:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AttackWarning)
            own = module if estimator is G else None
            return sensitivity(estimator, y, eps, n_seeds, attack=attack, ball=ball, module=own, **options)

    examined, blind = found_on(G, attack), found_on(G, RandomSearch(trials)).delta
    elsewhere = examined.delta.roll(1, 0) if surrogate is None else found_on(surrogate, attack).delta
    linear = _linearised(G, y, eps, n_seeds, ball, examined.value, module=module, **options)
    with torch.no_grad(), autograd_possible():
        fresh = SameSeed(G, y, n_seeds, first_seed=2 * n_seeds, module=module, **options)
        radii, centre = prepare(fresh, eps, ball, attack)
        clean = finite_outputs(fresh, None, "at y, with fresh seeds")
        random = full_length_point(ball, centre, radii, generator)
        full = radii / ball.norm(elsewhere).clamp_min(torch.finfo(radii.dtype).tiny)
        moved = ball.project(elsewhere * per_sample(full, elsewhere), centre, radii)
        value, random, blind, moved = (fresh.change(at, clean) for at in (examined.delta, random, blind, moved))
    if surrogate is None and len(y) == 1:
        moved = torch.full_like(moved, torch.nan)
    masked = torch.maximum(blind, moved.nan_to_num()) > MARGIN * value
    warn((*examined.concerns, *([_sentence(int(masked.sum()), len(y))] if bool(masked.any()) else [])))
    return AttackEvidence(value, random, blind, moved, linear, masked)


def _linearised(
    G: Estimator, y: Tensor, eps: float | Tensor, n_seeds: int, ball: Ball, like: Tensor, **options: Any
) -> Tensor:
    """What the linearisation reaches; NaN in other balls than L2, or where G has no second derivatives."""
    if isinstance(ball, L2) and ball.box is None and ball.mask is None:
        try:
            return linearised_sensitivity(G, y, eps, n_seeds, **options).value
        except torch.cuda.OutOfMemoryError:
            raise
        except (RuntimeError, NoGradientError) as error:
            warn((f"the linearisation was left out, G cannot be differentiated twice: {str(error).splitlines()[0]}",))
    return torch.full_like(like, torch.nan)


def _sentence(n_masked: int, n_samples: int) -> str:
    return (
        f"for {n_masked} of {n_samples} samples a search without G's gradient at y found more than the attack did: "
        "G's gradients mislead it (masked, or of a rough surface); take the larger values, or an attack with more steps"
    )
