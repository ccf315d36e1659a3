"""The words of an audit: estimators of known numbers, both sides of each threshold, and the figures in the words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stochrobust import PGD, AttackWarning, sensitivity
from stochrobust.auditing import measurement, thresholds, verdicts
from stochrobust.auditing.case import DOUBTS
from stochrobust.auditing.findings import AuditNumber, Verdict
from stochrobust.auditing.numbers import NUMBERS
from stochrobust.auditing.verdicts import judge
from stochrobust.estimators.diagnosis import Concern

EPS, N_SEEDS = 0.03, 16
ATTACK = PGD(steps=10, step=1.0, keep="last")


def number(value: float, reach: float = 0.0) -> AuditNumber:
    return AuditNumber(value, value - reach, value + reach, n=64)


def numbers(**values: float) -> dict[str, AuditNumber]:
    assert values.keys() <= NUMBERS.keys()
    return {name: number(value) for name, value in values.items()}


def measured(
    *, gain: float, spread: float, error: float, random_gain: float = 1.0, **more: float
) -> dict[str, AuditNumber]:
    """The numbers, in closed form, of an estimator whose outputs change by ``gain`` times delta, are spread by
    ``spread`` over the seeds, and whose mean over infinitely many seeds is wrong by ``error``; all RMS per pixel."""
    change = gain * EPS
    of_mean = math.hypot(error, spread / N_SEEDS**0.5)
    found = {
        "amplification": gain,
        "change_over_error": change / of_mean,
        "robustness_strong": -20 * math.log10(change),
        "robustness_paper": -20 * math.log10(change) + 0.5,
        "robustness_random": -20 * math.log10(random_gain * EPS),
        "ai_psnr_strong": -20 * math.log10(EPS),
    }
    if spread:
        found |= {"spread_error": (1 + 1 / N_SEEDS) ** 0.5 * spread / of_mean, "change_over_spread": change / spread}
    return numbers(**(found | more))


def names(found: tuple[Verdict, ...]) -> list[str]:
    return [verdict.name for verdict in found]


def said(name: str, found: tuple[Verdict, ...]) -> str:
    return next(verdict.sentence for verdict in found if verdict.name == name)


# -- estimators whose answer is known ----------------------------------------------------------------------------------


def test_a_sampler_of_the_posterior_is_robust_diverse_and_calibrated() -> None:
    # x = (a, b) of correlation rho, a observed: b = rho a + sigma z; the gain is that of (1, rho).
    for rho in (0.0, 0.5, 0.9):
        sigma = math.sqrt((1 - rho**2) / 2)
        found = judge(
            measured(gain=math.hypot(1, rho), spread=sigma, error=sigma, recall=0.9, consistency=math.inf),
            stochastic=True, takes_seeds=True, projector_residual_psnr=math.inf,
        )  # fmt: skip
        assert names(found) == ["robust and diverse", "calibrated"]
        assert {verdict.level for verdict in found} == {"good"}


def test_the_mean_of_the_posterior_is_blurred_and_not_blamed_for_having_no_diversity() -> None:
    found = judge(measured(gain=1.1, spread=0, error=0.3, recall=0.02), stochastic=False, takes_seeds=False)
    assert [(verdict.name, verdict.level) for verdict in found] == [("blurred", "note")]
    assert "only 2.0% of the real images" in found[0].sentence
    assert "a blur is robust too" in found[0].sentence


def test_the_identity_where_nothing_is_degraded_is_robust_and_nothing_else() -> None:
    found = numbers(amplification=1.0, robustness_strong=30.5, robustness_random=30.5, recall=1.0, consistency=math.inf)
    assert names(judge(found, stochastic=False, takes_seeds=False, projector_residual_psnr=math.inf)) == ["robust"]


@pytest.mark.parametrize("takes_seeds", [True, False])
def test_sensitive_without_variety_is_conditional_mode_collapse(takes_seeds: bool) -> None:
    found = judge(
        measured(gain=15, spread=0.006, error=0.3, recall=0.7, random_gain=5), stochastic=True, takes_seeds=takes_seeds
    )
    assert [(verdict.name, verdict.level) for verdict in found] == [("conditional mode collapse", "bad")]
    for figure in (
        "15.0 times delta",
        "1.50 times their error",
        "75.0 times the spread",
        "6.94 dB",
        "16.48 dB",
        "30.46 dB",
    ):
        assert figure in found[0].sentence
    assert "only 0.0206 times the error" in found[0].sentence
    assert "robustness_loss" in found[0].sentence


def test_sensitive_without_seeds_is_erratic_and_not_collapsed() -> None:
    found = judge(measured(gain=15, spread=0, error=0.4, recall=0.7), stochastic=False, takes_seeds=False)
    assert [(verdict.name, verdict.level) for verdict in found] == [("erratic", "bad")]
    assert "give the estimator seeds" in found[0].sentence


def test_sensitive_with_variety_is_erratic_and_not_collapsed() -> None:
    found = judge(measured(gain=15, spread=0.3, error=0.3), stochastic=True, takes_seeds=True)
    assert names(found) == ["erratic", "calibrated"]
    assert "though the seeds give variety" in found[0].sentence


def test_seeds_that_are_ignored() -> None:
    calm = judge(measured(gain=1.1, spread=0, error=0.4, recall=0.9), stochastic=False, takes_seeds=True)
    assert [(verdict.name, verdict.level) for verdict in calm] == [("seed ignored", "bad"), ("robust", "good")]
    wild = judge(measured(gain=15, spread=0, error=0.4), stochastic=False, takes_seeds=True)
    assert names(wild) == ["seed ignored", "conditional mode collapse"]
    assert "only 0 times the error" in wild[1].sentence


def test_little_variety_without_sensitivity_is_no_collapse() -> None:
    found = judge(measured(gain=1.1, spread=0.01, error=0.3, recall=0.7), stochastic=True, takes_seeds=True)
    assert names(found) == ["underdispersed", "robust"]
    blurred = judge(measured(gain=1.1, spread=0.01, error=0.3, recall=0.0), stochastic=True, takes_seeds=True)
    assert names(blurred) == ["blurred", "underdispersed"]
    assert "its seeds hardly change them" in blurred[0].sentence


def test_what_does_not_look_real_or_means_nothing_is_not_called_blurred() -> None:
    """That the least error may be wanted is no word for outputs that are worth nothing."""
    dull = measured(gain=1.1, spread=0.01, error=0.3, recall=0.0)
    unnatural = dull | numbers(precision_shortfall=0.9)
    assert names(judge(unnatural, stochastic=True, takes_seeds=True)) == ["unnatural", "underdispersed"]
    for code in DOUBTS:
        found = judge(dull, stochastic=True, takes_seeds=True, concerns=[Concern("a doubt", code)])
        assert names(found) == [code, "underdispersed"]


def test_what_is_diverse_is_not_blurred() -> None:
    found = judge(measured(gain=1.1, spread=0.3, error=0.3, recall=0.0), stochastic=True, takes_seeds=True)
    assert names(found) == ["robust and diverse", "calibrated"]


def test_too_much_variety() -> None:
    found = judge(measured(gain=1.1, spread=0.5, error=0.3), stochastic=True, takes_seeds=True)
    assert names(found) == ["overdispersed", "robust and diverse"]


def test_robustness_is_always_told_beside_its_baselines() -> None:
    for stochastic, spread in ((True, 0.3), (False, 0.0)):
        for gain in (1.2, 15):
            for recall in (0.0, 0.9):
                figures = measured(gain=gain, spread=spread, error=0.3, recall=recall, random_gain=0.7)
                found = judge(figures, stochastic=stochastic, takes_seeds=stochastic)
                sentence = found[0].sentence
                assert "times delta" in sentence
                assert "times their error" in sentence
                assert "along a random direction 33.56 dB" in sentence
                assert ("times the spread of their seeds" in sentence) is stochastic
                assert gain > 2 or "blur" in sentence


# -- both sides of each threshold --------------------------------------------------------------------------------------

DULL = {"amplification": 1.0, "change_over_error": 0.1, "spread_error": 0.6, "recall": 0.8}
WILD = {"amplification": 9.0, "change_over_error": 2.0, "spread_error": 0.6, "recall": 0.8}


@pytest.mark.parametrize(
    ("base", "name", "threshold", "below", "above"),
    [
        (WILD, "amplification", thresholds.LARGE_AMPLIFICATION, "robust and diverse", "erratic"),
        (WILD, "change_over_error", thresholds.LARGE_CHANGE, "robust and diverse", "erratic"),
        (WILD, "spread_error", thresholds.SMALL_SPREAD, "conditional mode collapse", "erratic"),
        (DULL, "spread_error", thresholds.SMALL_SPREAD, "robust", "robust and diverse"),
        (DULL, "spread_error", thresholds.UNDERDISPERSED, "underdispersed", "calibrated"),
        (DULL, "spread_error", thresholds.OVERDISPERSED, "calibrated", "overdispersed"),
        (DULL | {"spread_error": 0.1}, "recall", thresholds.LOW_RECALL, "blurred", "robust"),
        (DULL, "consistency", thresholds.CONSISTENT_PSNR, "inconsistent", None),
        (DULL | {"consistency": 90}, "consistency_8bit", 45.0, "inconsistent after rounding", None),
        (DULL, "ai_psnr_strong", thresholds.VISIBLE_PSNR, "visible attack", None),
        (DULL | {"robustness_strong": 30.0}, "robustness_random", 30 - thresholds.WEAK_BY, "weak attack", None),
        (DULL | {"robustness_strong": 30.0}, "robustness_paper", 30 - thresholds.WEAK_BY, "weak attack", None),
    ],
)  # fmt: skip
def test_what_is_said_on_each_side_of_a_threshold(
    base: dict[str, float], name: str, threshold: float, below: str, above: str | None
) -> None:
    low, high = (
        names(judge(numbers(**(base | {name: threshold * factor})), stochastic=True, takes_seeds=True))
        for factor in (0.99, 1.01)
    )
    assert below in low
    assert below not in high
    if above is not None:
        assert above in high
        assert above not in low


def test_without_the_attack_robustness_is_not_judged() -> None:
    assert judge({}, stochastic=False, takes_seeds=False) == ()
    unknown = numbers(spread_error=1.0, recall=0.1, amplification=math.nan, change_over_error=2.0)
    assert names(judge(unknown, stochastic=True, takes_seeds=True)) == ["calibrated"]


def test_a_weak_attack_earns_no_praise() -> None:
    figures = measured(gain=1, spread=0.3, error=0.3, random_gain=2)
    found = judge(figures, stochastic=True, takes_seeds=True)
    assert names(found) == ["weak attack", "calibrated"]
    for figure in ("30.46 dB under the strong", "30.96 dB under the paper's", "24.44 dB along a random"):
        assert figure in said("weak attack", found)


def test_intervals_that_leave_the_verdict_open_are_told() -> None:
    figures = measured(gain=15, spread=0.006, error=0.3)
    sure = judge(figures, stochastic=True, takes_seeds=True)
    assert "intervals leave the verdict open" not in sure[0].sentence
    for name, reach in (("change_over_error", 1.2), ("spread_error", 0.4), ("amplification", 14)):
        wide = figures | {name: number(figures[name].estimate, reach)}
        assert "intervals leave the verdict open" in judge(wide, stochastic=True, takes_seeds=True)[0].sentence
    harmless = figures | {"change_over_spread": number(80, 80)}
    assert judge(harmless, stochastic=True, takes_seeds=True) == judge(
        figures | {"change_over_spread": number(80)}, stochastic=True, takes_seeds=True
    )


def test_what_the_intervals_leave_open_is_not_called_good() -> None:
    for stochastic in (True, False):
        sure = judge(numbers(**DULL), stochastic=stochastic, takes_seeds=stochastic)
        assert {"robust and diverse", "robust"} & set(names(sure))
        wide = numbers(**DULL) | {"amplification": number(1.9, 3), "change_over_error": number(0.4, 0.3)}
        found = judge(wide, stochastic=stochastic, takes_seeds=stochastic)
        assert "intervals leave the verdict open" in said("not decided", found)
        assert not {"robust and diverse", "robust"} & set(names(found))
        assert not [v for v in found if v.level == "good" and "leave the verdict open" in v.sentence]


def test_the_interval_of_a_count_of_none_leaves_nothing_open() -> None:
    none = AuditNumber(0.0, 0.0, 0.056, n=64)
    found = judge(numbers(**DULL) | {"steep_share": none}, stochastic=True, takes_seeds=True)
    assert "robust and diverse" in names(found)


def test_dispersion_is_told_only_if_its_interval_agrees() -> None:
    figures = numbers(**DULL)
    for estimate, name in ((0.75, "underdispersed"), (1.3, "overdispersed")):
        for reach, told in ((0.04, True), (0.1, False)):
            found = judge(figures | {"spread_error": number(estimate, reach)}, stochastic=True, takes_seeds=True)
            assert (name in names(found)) is told
            assert "calibrated" not in names(found)


# -- projectors, consistency, and estimators that are none -------------------------------------------------------------


def test_a_broken_projector_is_told_from_an_inconsistent_estimator() -> None:
    bad = numbers(consistency=20.0, consistency_8bit=20.0)
    broken = judge(bad, stochastic=False, takes_seeds=False, projector_residual_psnr=25.0)
    assert [(verdict.name, verdict.level) for verdict in broken] == [("broken projector", "bad")]
    assert "25.00 dB" in broken[0].sentence
    assert "58.92 dB" in broken[0].sentence
    sound = judge(bad, stochastic=False, takes_seeds=False, projector_residual_psnr=120.0)
    assert [(verdict.name, verdict.level) for verdict in sound] == [("inconsistent", "bad")]
    assert "20.00 dB" in sound[0].sentence
    assert "Consistent(G, projector)" in sound[0].sentence
    for residual, told in ((58.8, True), (59.0, False)):
        found = judge({}, stochastic=False, takes_seeds=False, projector_residual_psnr=residual)
        assert (names(found) == ["broken projector"]) is told


def test_what_is_lost_in_eight_bits_is_told() -> None:
    figures = numbers(consistency=math.inf, consistency_8bit=30.0)
    found = judge(figures, stochastic=False, takes_seeds=False)
    assert [(verdict.name, verdict.level) for verdict in found] == [("inconsistent after rounding", "note")]
    assert "(infinite)" in found[0].sentence
    assert "(30.00 dB)" in found[0].sentence


def own_noise() -> Callable[[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(0)
    return lambda y: y + torch.randn(y.shape, generator=generator)


@pytest.mark.parametrize(
    ("G", "name"),
    [
        (lambda y: y - y.mean(0), "batch-dependent"),
        (own_noise(), "irreproducible"),
        (lambda y: 0 * y, "input ignored"),
    ],
)
def test_what_the_library_says_of_an_estimator_is_understood(G: Any, name: str) -> None:
    y = torch.rand(4, 6, generator=torch.Generator().manual_seed(1))
    with pytest.warns(AttackWarning):
        concerns = sensitivity(G, y, 0.1, attack=ATTACK, generator=torch.Generator().manual_seed(2)).concerns
    found = judge(measured(gain=1, spread=0, error=1), stochastic=False, takes_seeds=False, concerns=concerns)
    assert [(verdict.name, verdict.level) for verdict in found if verdict.name == name] == [(name, "bad")]
    assert concerns[0] in said(name, found)
    assert "robust" not in names(found)


def hidden_slope(y: Tensor) -> Tensor:
    """Moves most along its first element, and shows its gradient in the others."""
    return torch.cat([9 * y[:, :1].detach(), y[:, 1:]], 1)


@pytest.mark.parametrize("G", [lambda y: (8 * y).round(), hidden_slope])
def test_attacks_that_were_none_are_understood(G: Any) -> None:
    y = torch.rand(4, 6, generator=torch.Generator().manual_seed(1))
    with pytest.warns(AttackWarning):
        concerns = sensitivity(G, y, 0.5, attack=ATTACK, generator=torch.Generator().manual_seed(2)).concerns
    found = judge(measured(gain=1, spread=0, error=1), stochastic=False, takes_seeds=False, concerns=concerns)
    assert names(found) == ["weak attack"]


def test_one_doubt_is_told_once() -> None:
    concerns = tuple(Concern(f"its output changed by {share}", "irreproducible") for share in (0.1, 0.2))
    (found,) = judge({}, stochastic=False, takes_seeds=False, concerns=concerns)
    assert (found.name, found.level) == ("irreproducible", "bad")
    assert concerns[0] in found.sentence


def test_a_doubt_is_known_by_its_code_and_not_by_its_words() -> None:
    said = Concern("G is not the same function in two calls", "quality left out")
    assert judge({}, stochastic=False, takes_seeds=False, concerns=(said,)) == ()


# -- the table ---------------------------------------------------------------------------------------------------------


def test_bad_ones_come_first_then_notes_then_good_ones() -> None:
    figures = measured(gain=1, spread=0.3, error=0.3, consistency=20.0) | numbers(ai_psnr_strong=10.0)
    found = judge(figures, stochastic=True, takes_seeds=True)
    assert names(found) == ["inconsistent", "visible attack", "robust and diverse", "calibrated"]
    assert [verdict.level for verdict in found] == ["bad", "note", "good", "good"]


def test_the_table_has_every_verdict_at_its_level() -> None:
    assert verdicts.__doc__
    table = dict(re.findall(r"^\| ([a-z -]+) \| (bad|note|good) \|", verdicts.__doc__, re.MULTILINE))
    source = "".join(Path(str(module.__file__)).read_text() for module in (verdicts, measurement))
    told = dict(re.findall(r'Verdict\(\s*"([a-z -]+)",\s*"(bad|note|good)"', source))
    told |= dict.fromkeys(DOUBTS, "bad")
    assert len(table) > 15
    assert table == told


def test_numbers_are_left_alone() -> None:
    figures = measured(gain=15, spread=0.006, error=0.3)
    before = {name: replace(value) for name, value in figures.items()}
    judge(figures, stochastic=True, takes_seeds=True)
    assert figures == before


# -- what the data ask for, and what the law excuses -------------------------------------------------------------------

LAWFUL = {"coverage_gap": 0.05, "coverage_p": 0.5, "spread_principal": 1.0, "spread_elsewhere": 1.0}
LAWFUL |= {"conditional_frechet": 0.1, "conditional_frechet_null": 0.1, "spread_error": 1.0, "precision_shortfall": 0.0}
STEEP = {"amplification": 9.0, "change_over_error": 2.0, "amplification_reference": 2.0, "spread_error": 1.0}


def of_pairs(n: int, **values: float) -> dict[str, AuditNumber]:
    return {name: AuditNumber(value, value, value, n) for name, value in values.items()}


@pytest.mark.parametrize(
    ("base", "name", "threshold", "below", "above"),
    [
        (STEEP, "amplification_reference", 3.0, "erratic", "robust and diverse"),
        (LAWFUL | STEEP, "coverage_gap", thresholds.UNEVEN_GAP, "steep", "erratic"),
        (LAWFUL | STEEP | {"coverage_gap": 0.5}, "coverage_p", thresholds.UNEVEN_P, "erratic", "steep"),
        (LAWFUL | STEEP, "spread_principal", thresholds.UNDERDISPERSED, "erratic", "steep"),
        (LAWFUL | STEEP, "spread_elsewhere", thresholds.OVERDISPERSED, "steep", "erratic"),
        (LAWFUL | STEEP, "spread_steep", thresholds.UNDERDISPERSED * (1 - 0.5 / 500**0.5), "erratic", "steep"),
        (LAWFUL | STEEP, "conditional_frechet", 0.15, "steep", "erratic"),
        (LAWFUL | STEEP, "spread_error", thresholds.OVERDISPERSED, "steep", "erratic"),
        (LAWFUL | STEEP, "precision_shortfall", thresholds.LARGE_SHORTFALL, "steep", "unnatural"),
        (LAWFUL | STEEP | {"amplification": 3.0}, "steep_share", thresholds.STEEP_SHARE, "robust and diverse", "steep"),
        (LAWFUL, "coverage_gap", thresholds.UNEVEN_GAP, "calibrated", "calibrated"),
        (LAWFUL | {"coverage_p": 0.0}, "coverage_gap", thresholds.UNEVEN_GAP, "calibrated", "miscalibrated"),
        (LAWFUL, "spread_principal", thresholds.UNDERDISPERSED, "miscalibrated", "calibrated"),
        (DULL | {"coverage_p": 0.0}, "coverage_gap", thresholds.WRONG_GAP, "robust and diverse", None),
        (DULL, "precision_shortfall", thresholds.LARGE_SHORTFALL, "robust and diverse", "unnatural"),
    ],
)  # fmt: skip
def test_the_law_and_the_reference_on_each_side_of_a_threshold(
    base: dict[str, float], name: str, threshold: float, below: str, above: str | None
) -> None:
    uneven = {"coverage_p": 0.0} if name == "coverage_gap" and "amplification" in base else {}
    low, high = (
        names(judge(of_pairs(500, **(base | uneven | {name: threshold * factor})), stochastic=True, takes_seeds=True))
        for factor in (0.99, 1.01)
    )
    assert below in low
    assert below == above or below not in high
    if above is not None:
        assert above in high


def test_fewer_pairs_decide_nothing() -> None:
    for n, expected in ((199, "not decided"), (200, "erratic")):
        found = judge(of_pairs(n, **STEEP), stochastic=True, takes_seeds=True)
        assert names(found)[0] == expected
    assert "at least 200" in said("not decided", judge(of_pairs(60, **STEEP), stochastic=True, takes_seeds=True))


def test_a_deterministic_restorer_is_excused_by_no_law() -> None:
    assert names(judge(of_pairs(500, **(LAWFUL | STEEP)), stochastic=False, takes_seeds=False)) == ["erratic"]


def test_nothing_good_stands_beside_outputs_that_look_like_nothing() -> None:
    useless = LAWFUL | DULL | {"precision_shortfall": 0.9, "coverage_gap": 0.9, "coverage_p": 0.0}
    found = judge(of_pairs(500, **useless), stochastic=True, takes_seeds=True)
    assert found[0].name == "unnatural"
    assert "good" not in {verdict.level for verdict in found}
