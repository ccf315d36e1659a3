"""What the numbers of an audit mean, in words: a pure function of them.

| verdict | level | when |
|---|---|---|
| broken projector | bad | ``D(project(x, y))`` is not y to ``PROJECTOR_PSNR``, whatever G does |
| inconsistent | bad | ``D(x_hat)`` is not y to ``CONSISTENT_PSNR``, nor as near as ``D(x)`` is; or to the noise |
| outside the range | bad | over ``SOME_OUTSIDE`` of the pixels lie outside by ``FAR_OUTSIDE``: other units than x has |
| batch-dependent | bad | the output for one input depends on the others of the batch |
| irreproducible | bad | two calls with the same input and seed give different outputs |
| input ignored | bad | the output is exactly the same at y and at y + delta |
| seed ignored | bad | G takes seeds, and all of them give the same output |
| conditional mode collapse | bad | erratic and not diverse, and G takes seeds or draws noise |
| erratic | bad | sensitive, and not excused by its law: without seeds, or in spite of its variety |
| unnatural | bad | by over ``LARGE_SHORTFALL`` fewer outputs than real images look real |
| steep | note | sensitive, and excused: the outputs are samples of the posterior as far as can be told |
| not decided | note | sensitive, with fewer than ``ENOUGH_PAIRS`` pairs; or not, and the intervals leave that open |
| inconsistent after rounding | note | ``D(x_hat)`` is y until x_hat is clamped and rounded to 8 bits |
| data of another D | note | ``D(x)`` itself is not y to ``CONSISTENT_PSNR``, and no noise was given |
| noise kept | note | noise was given, and ``D(x_hat)`` is y with the noise in it |
| noise averaged | note | seeds differ, and their outputs are nearer to y than sources are |
| searched without gradients | note | no gradient passes through G |
| weak attack | note | something else moved the outputs by ``WEAK_BY`` more than the strong attack did |
| visible attack | note | the attack is no small change of y: AI-PSNR below ``VISIBLE_PSNR`` |
| blurred | note | neither sensitive nor diverse nor unnatural, and recall below ``LOW_RECALL`` |
| underdispersed | note | spread over error, with its interval, below ``UNDERDISPERSED`` (and no collapse) |
| overdispersed | note | spread over error, with its interval, above ``OVERDISPERSED`` |
| miscalibrated | note | spread over error as it should be, and in wrong places: uneven, or misplaced |
| robust and diverse | good | diverse and not sensitive, the law not off by ``WRONG_GAP``, the attack not weak |
| robust | good | not sensitive, no variety known of, not blurred nor unnatural, and the attack was not weak |
| agrees with the noise | good | ``D(x_hat)`` is as far from y as the noise is |
| calibrated | good | spread over error between ``UNDERDISPERSED`` and ``OVERDISPERSED``, neither uneven nor misplaced |

Sensitive: amplification above ``LARGE_AMPLIFICATION`` and above ``STEEP`` times that of a linear restorer of the same
pairs, with change over error above ``LARGE_CHANGE``, in the mean or at a share ``STEEP_SHARE`` of the inputs. Excused
by its law (Theorem 1: what is natural, consistent and calibrated is the posterior, however steep): neither uneven,
misplaced nor unnatural, with the right spread, at the steep inputs too. Uneven: the ranks of x among the outputs, by
distance from any of several references, have a gap of coverage above ``UNEVEN_GAP`` at a p-value below ``UNEVEN_P``.
Misplaced: spread over error off along the outputs' own directions or elsewhere, or a conditional Frechet distance
beyond that of outputs among each other. Diverse: spread over error of at least ``SMALL_SPREAD``.

The numbers compare the change with delta, with the error and with the spread, and so do not depend on the range of the
pixels or on how much y leaves open, as decibels do. The thresholds and their reasons
are in :mod:`stochrobust.auditing.thresholds`.

The paper's diagnosis (section 6.1.2) is that the instability of a stochastic model indicates conditional mode collapse.
It rests on Eq. 6 being large (the seed held, y moved a little) where the per-pixel std is near zero: what varies in the
outputs then comes from y alone, as in a deterministic estimator, which can only look as real as the data by being
erratic (section 4). An estimator that has no seeds has nothing to collapse, and is not blamed for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from stochrobust.auditing.case import DOUBTS, Case
from stochrobust.auditing.findings import AuditNumber, Level, Verdict
from stochrobust.auditing.measurement import judge_consistency, judge_data, judge_projector, judge_search
from stochrobust.auditing.numbers import number, percent
from stochrobust.auditing.sentences import decibels, faults, robustness, times
from stochrobust.auditing.thresholds import (
    ENOUGH_PAIRS,
    OVERDISPERSED,
    UNDERDISPERSED,
    VISIBLE_PSNR,
)
from stochrobust.estimators.diagnosis import Concern


def judge(
    numbers: Mapping[str, AuditNumber],
    *,
    stochastic: bool,
    takes_seeds: bool,
    concerns: Sequence[Concern] = (),
    projector_residual_psnr: float | None = None,
) -> tuple[Verdict, ...]:
    """What the numbers say.

    Args:
        numbers: by the names of :data:`stochrobust.auditing.numbers.NUMBERS`; what needs one that is absent or NaN
            is not said.
        stochastic: whether two seeds gave different outputs.
        takes_seeds: whether G was given seeds ``z``.
        concerns: the library's doubts.
        projector_residual_psnr: PSNR of ``D(project(x, y))`` and y, in dB, for the projector alone; None if there is
            none.

    Returns:
        Bad ones first, then notes, then good ones; each in the order of this module's table.

    Example:
        >>> def number(value):
        ...     return AuditNumber(value, value, value, n=64)
        >>> numbers = {"amplification": number(15.0), "change_over_error": number(1.6), "spread_error": number(0.02)}
        >>> [verdict.name for verdict in judge(numbers, stochastic=True, takes_seeds=True)]
        ['conditional mode collapse']

    Source: Ohayon et al., ICML 2023, sections 4 and 6.1.2.
    """
    case = Case(
        dict(numbers),
        stochastic,
        takes_seeds,
        {concern.code: concern for concern in reversed(concerns)},
        projector_residual_psnr,
    )
    found = [verdict for rule in RULES for verdict in rule(case)]
    order: tuple[Level, ...] = ("bad", "note", "good")
    return tuple(sorted(found, key=lambda verdict: order.index(verdict.level)))


def _doubts(case: Case) -> Iterator[Verdict]:
    for code in DOUBTS:
        if code in case.concerns:
            yield Verdict(code, "bad", f"{case.concerns[code]}. The other numbers mean little until that is repaired.")


def _seeds(case: Case) -> Iterator[Verdict]:
    if case.takes_seeds and not case.stochastic:
        yield Verdict(
            "seed ignored",
            "bad",
            "G takes seeds, and gives the same output for all of them: it is deterministic. Check that z reaches the "
            "layers that make the output; if it does, training has taught the network to ignore it: robustness_loss "
            "makes z carry the variety.",
        )


def _sensitivity(case: Case) -> Iterator[Verdict]:
    if case.collapsed:
        spread = case.value("spread_error") if case.stochastic else 0.0
        yield Verdict(
            "conditional mode collapse",
            "bad",
            f"{robustness(case)} The seeds of one input spread by only {times(spread)} the error. What varies in the "
            "outputs comes from tiny changes of y, not from z: it behaves as a deterministic estimator that looks real "
            "by being erratic. Train with robustness_loss, which makes z carry the variety.",
        )
    elif case.erratic and case.stochastic:
        yield Verdict(
            "erratic",
            "bad",
            f"{robustness(case)} That is more than what y leaves open accounts for, though the seeds give variety, "
            "too, and more than a linear restorer of the same pairs does. Train with robustness_loss.",
        )
    elif case.erratic:
        yield Verdict(
            "erratic",
            "bad",
            f"{robustness(case)} A change that nobody sees decides what the output shows. Without seeds this is the "
            "price of looking real where y leaves much open: give the estimator seeds and train with "
            "robustness_loss. The loss alone would make it robust at the cost of its variety.",
        )


def _excused(case: Case) -> Iterator[Verdict]:
    if case.sensitive and not case.decided:
        yield Verdict(
            "not decided",
            "note",
            f"{robustness(case)} From {case.numbers['amplification_reference'].n} pairs it cannot be told whether the "
            f"data ask for that: give at least {ENOUGH_PAIRS}.",
        )
    elif case.sensitive and not case.erratic:
        yield Verdict(
            "steep",
            "note",
            f"{robustness(case)} Yet the outputs are samples of the posterior as far as can be told (gap of coverage "
            f"{number(case.value('coverage_gap') or 0.0)}), and that is as steep as it is: no fault of the "
            "estimator's. Or seeds have changed places, which moves each output and not their law: see w2_sensitivity.",
        )


def _unnatural(case: Case) -> Iterator[Verdict]:
    if case.unnatural:
        missing = percent(case.value("precision_shortfall") or 0.0)
        yield Verdict(
            "unnatural",
            "bad",
            f"The outputs do not look like the real images: of outputs {missing} fewer than of real images lie among "
            "(other) real ones. Robustness and spread of such outputs are worth nothing.",
        )


def _attack(case: Case) -> Iterator[Verdict]:
    if case.weak_attack:
        strong, paper, random = (decibels(case.value(f"robustness_{name}")) for name in ("strong", "paper", "random"))
        yield Verdict(
            "weak attack",
            "note",
            f"Robustness may be less than it seems: {strong} under the strong attack, {paper} under the paper's, "
            f"{random} along a random direction. The strong attack should find the least; the gradients may be zero, "
            "masked or noisy. See attack_evidence.",
        )
    if case.is_below("ai_psnr_strong", VISIBLE_PSNR):
        size = decibels(case.value("ai_psnr_strong"))
        yield Verdict(
            "visible attack",
            "note",
            f"The attack is no small change of y (AI-PSNR {size}): the sources that fit y may change with it, and an "
            "output that follows may be right. Take a smaller eps; the paper's attacks have about 33 dB.",
        )


def _blur(case: Case) -> Iterator[Verdict]:
    if case.blurred and not (case.meaningless or case.unnatural):
        covered = percent(case.value("recall") or 0.0)
        seeds = "its seeds hardly change them" if case.stochastic else "no seed changes them"
        yield Verdict(
            "blurred",
            "note",
            f"{robustness(case)} It seems robust because it averages, and a blur is robust too: its outputs cover "
            f"only {covered} of the real images (recall), and {seeds}. Right where the least "
            "error is wanted; for outputs that look real as well, train for quality with seeds and robustness_loss.",
        )


def _dispersion(case: Case) -> Iterator[Verdict]:
    spread = case.numbers.get("spread_error")
    if spread is None or not case.stochastic or case.collapsed:
        return
    figures = f"The seeds of one input spread by {times(spread.estimate)} the error of their mean"
    if spread.estimate < UNDERDISPERSED and spread.high < UNDERDISPERSED:
        advice = "x lies outside of them more often than they admit. Draw no error bars from the seeds as they are."
        yield Verdict("underdispersed", "note", f"{figures}; samples of the posterior have 1: {advice}")
    elif spread.estimate > OVERDISPERSED and spread.low > OVERDISPERSED:
        advice = "they vary by more than what y leaves open. Error bars from the seeds are too wide."
        yield Verdict("overdispersed", "note", f"{figures}; samples of the posterior have 1: {advice}")
    elif UNDERDISPERSED <= spread.estimate <= OVERDISPERSED and (case.uneven or case.misplaced):
        yield Verdict("miscalibrated", "note", f"{figures}, as it should be, and not where they err: {faults(case)}.")
    elif UNDERDISPERSED <= spread.estimate <= OVERDISPERSED:
        ranks = case.value("rank_deviation")
        evenly = "" if ranks is None else f" (unevenness of the ranks of x among them: {number(ranks)} of 1)"
        yield Verdict(
            "calibrated", "good", f"{figures}; samples of the posterior have 1: their spread is honest{evenly}."
        )


def _robust(case: Case) -> Iterator[Verdict]:
    if case.sensitive is not False or case.weak_attack or case.blurred or case.meaningless or case.unnatural:
        return
    if case.stochastic and case.diverse and case.wrong_law:
        return
    if not case.settled:  # which the figures say
        yield Verdict("not decided", "note", robustness(case))
    elif case.stochastic and case.diverse:
        yield Verdict(
            "robust and diverse",
            "good",
            f"{robustness(case)} It is not robust by blurring: the seeds of one input spread by "
            f"{times(case.value('spread_error'))} the error.",
        )
    else:
        quality = "Read it beside the quality" if case.value("recall") is not None else "No quality was measured"
        yield Verdict("robust", "good", f"{robustness(case)} {quality}: a blur is robust too.")


RULES: tuple[Callable[[Case], Iterator[Verdict]], ...] = (
    judge_projector, judge_data, judge_consistency, judge_search,
    _doubts, _seeds, _sensitivity, _unnatural, _excused, _attack, _blur, _robust, _dispersion,
)  # fmt: skip
