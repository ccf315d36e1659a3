"""What the numbers of an audit mean, in words: a pure function of them.

| verdict | level | when |
|---|---|---|
| broken projector | bad | ``D(project(x, y))`` is not y to ``PROJECTOR_PSNR``, whatever G does |
| inconsistent | bad | ``D(x_hat)`` is not y to ``CONSISTENT_PSNR``, nor as near as ``D(x)`` is; or to the noise |
| outside the range | bad | many pixels of the outputs lie outside the range: other units than x has |
| batch-dependent | bad | the output for one input depends on the others of the batch |
| irreproducible | bad | two calls with the same input and seed give different outputs |
| input ignored | bad | the output is exactly the same at y and at y + delta |
| seed ignored | bad | G takes seeds, and all of them give the same output |
| conditional mode collapse | bad | sensitive and not diverse, and G takes seeds or draws noise |
| erratic | bad | sensitive otherwise: without seeds, or in spite of its variety |
| inconsistent after rounding | note | ``D(x_hat)`` is y until x_hat is clamped and rounded to 8 bits |
| data of another D | note | ``D(x)`` itself is not y to ``CONSISTENT_PSNR``, and no noise was given |
| noise kept | note | noise was given, and ``D(x_hat)`` is y with the noise in it |
| noise averaged | note | seeds differ, and their outputs are nearer to y than sources are |
| searched without gradients | note | no gradient passes through G |
| weak attack | note | something else moved the outputs by ``WEAK_BY`` more than the strong attack did |
| visible attack | note | the attack is no small change of y: AI-PSNR below ``VISIBLE_PSNR`` |
| blurred | note | neither sensitive nor diverse, and recall below ``LOW_RECALL`` |
| underdispersed | note | spread over error, with its interval, below ``UNDERDISPERSED`` (and no collapse) |
| overdispersed | note | spread over error, with its interval, above ``OVERDISPERSED`` |
| robust and diverse | good | diverse and not sensitive, and the attack was not weak |
| robust | good | not sensitive, no variety known of, not blurred, and the attack was not weak |
| agrees with the noise | good | ``D(x_hat)`` is as far from y as the noise is |
| calibrated | good | spread over error between ``UNDERDISPERSED`` and ``OVERDISPERSED`` |

Sensitive: amplification above ``LARGE_AMPLIFICATION`` and change over error above ``LARGE_CHANGE``. Diverse: spread
over error of at least ``SMALL_SPREAD``. They compare the change with delta, with the error and with the spread, and so
do not depend on the range of the pixels or on how much y leaves open, as decibels do. The thresholds and their reasons
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
from stochrobust.auditing.numbers import number, percent, quantity
from stochrobust.auditing.thresholds import (
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
            f"{_robustness(case)} The seeds of one input spread by only {_times(spread)} the error. What varies in the "
            "outputs comes from tiny changes of y, not from z: it behaves as a deterministic estimator that looks real "
            "by being erratic. Train with robustness_loss, which makes z carry the variety.",
        )
    elif case.sensitive and case.stochastic:
        yield Verdict(
            "erratic",
            "bad",
            f"{_robustness(case)} That is more than what y leaves open accounts for, though the seeds give variety, "
            "too. Train with robustness_loss; if D is ill-conditioned, so that consistency itself amplifies, "
            "compare with its projector alone.",
        )
    elif case.sensitive:
        yield Verdict(
            "erratic",
            "bad",
            f"{_robustness(case)} A change that nobody sees decides what the output shows. Without seeds this is the "
            "price of looking real where y leaves much open: give the estimator seeds and train with "
            "robustness_loss. The loss alone would make it robust at the cost of its variety.",
        )


def _attack(case: Case) -> Iterator[Verdict]:
    if case.weak_attack:
        strong, paper, random = (_decibels(case.value(f"robustness_{name}")) for name in ("strong", "paper", "random"))
        yield Verdict(
            "weak attack",
            "note",
            f"Robustness may be less than it seems: {strong} under the strong attack, {paper} under the paper's, "
            f"{random} along a random direction. The strong attack should find the least; the gradients may be zero, "
            "masked or noisy. See attack_evidence.",
        )
    if case.is_below("ai_psnr_strong", VISIBLE_PSNR):
        size = _decibels(case.value("ai_psnr_strong"))
        yield Verdict(
            "visible attack",
            "note",
            f"The attack is no small change of y (AI-PSNR {size}): the sources that fit y may change with it, and an "
            "output that follows may be right. Take a smaller eps; the paper's attacks have about 33 dB.",
        )


def _blur(case: Case) -> Iterator[Verdict]:
    if case.blurred:
        covered = percent(case.value("recall") or 0.0)
        seeds = "its seeds hardly change them" if case.stochastic else "no seed changes them"
        yield Verdict(
            "blurred",
            "note",
            f"{_robustness(case)} It seems robust because it averages, and a blur is robust too: its outputs cover "
            f"only {covered} of the real images (recall), and {seeds}. Right where the least "
            "error is wanted; for outputs that look real as well, train for quality with seeds and robustness_loss.",
        )


def _dispersion(case: Case) -> Iterator[Verdict]:
    spread = case.numbers.get("spread_error")
    if spread is None or not case.stochastic or case.collapsed:
        return
    figures = f"The seeds of one input spread by {_times(spread.estimate)} the error of their mean"
    if spread.estimate < UNDERDISPERSED and spread.high < UNDERDISPERSED:
        advice = "x lies outside of them more often than they admit. Draw no error bars from the seeds as they are."
        yield Verdict("underdispersed", "note", f"{figures}; samples of the posterior have 1: {advice}")
    elif spread.estimate > OVERDISPERSED and spread.low > OVERDISPERSED:
        advice = "they vary by more than what y leaves open. Error bars from the seeds are too wide."
        yield Verdict("overdispersed", "note", f"{figures}; samples of the posterior have 1: {advice}")
    elif UNDERDISPERSED <= spread.estimate <= OVERDISPERSED:
        ranks = case.value("rank_deviation")
        evenly = "" if ranks is None else f" (unevenness of the ranks of x among them: {number(ranks)} of 1)"
        yield Verdict(
            "calibrated", "good", f"{figures}; samples of the posterior have 1: their spread is honest{evenly}."
        )


def _robust(case: Case) -> Iterator[Verdict]:
    if case.sensitive is not False or case.weak_attack or case.blurred or case.meaningless:
        return
    if case.stochastic and case.diverse:
        yield Verdict(
            "robust and diverse",
            "good",
            f"{_robustness(case)} It is not robust by blurring: the seeds of one input spread by "
            f"{_times(case.value('spread_error'))} the error.",
        )
    else:
        quality = "Read it beside the quality" if case.value("recall") is not None else "No quality was measured"
        yield Verdict("robust", "good", f"{_robustness(case)} {quality}: a blur is robust too.")


RULES: tuple[Callable[[Case], Iterator[Verdict]], ...] = (
    judge_projector, judge_data, judge_consistency, judge_search,
    _doubts, _seeds, _sensitivity, _attack, _blur, _robust, _dispersion,
)  # fmt: skip


def _robustness(case: Case) -> str:
    """Robustness beside what it has to be compared with."""
    strong, random, size = map(case.value, ("robustness_strong", "robustness_random", "ai_psnr_strong"))
    compared = {"amplification": "delta", "change_over_error": "their error"}
    compared |= {"change_over_spread": "the spread of their seeds"} if case.stochastic else {}
    ratios = [f"{_times(case.value(name))} {what}" for name, what in compared.items() if case.value(name) is not None]
    attack = "" if size is None else f" of AI-PSNR {_decibels(size)}"
    kept = "" if strong is None else f" (robustness {_decibels(strong)}; along a random direction {_decibels(random)})"
    doubt = "" if case.settled else " The intervals leave the verdict open: measure more inputs."
    return f"An attack{attack} changes the outputs by {', '.join(ratios)}{kept}.{doubt}"


def _decibels(value: float | None) -> str:
    return quantity(value, "dB")


def _times(value: float | None) -> str:
    return f"{number(value or 0.0)} times"
