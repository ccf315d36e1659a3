"""What a claim needs: each word at its smallest and its nearest-miss case, the four models, and what is stored."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from reference_experiments import findings, readme
from reference_experiments.arms import ARMS
from reference_experiments.findings import Finding, Word, figure, paired, word
from reference_experiments.four_models import PUBLISHED, Numbers, conclusions
from reference_experiments.study import read_results, stored_findings

STORED = sorted(path for path in (readme.HERE / "results").iterdir() if (path / "results.json").exists())


@pytest.mark.parametrize(
    ("said", "smallest", "miss", "instead"),
    [
        # effect, deviation, placebo, trainings: the smallest case of the word, and the nearest that is another's
        ("confirmed", (2.001, 1.0, 2.0, 3), (2.0, 1.0, 1.0, 3), "not decided"),  # two deviations do not do
        ("confirmed", (2.001, 1.0, 2.0, 3), (2.0, 0.5, 2.0, 3), "not decided"),  # nor does the placebo
        ("confirmed", (2.001, 1.0, 2.0, 3), (2.001, 1.0, 2.0, 2), "in direction"),  # nor do two trainings
        ("refuted", (-2.001, 1.0, 2.0, 3), (-2.0, 1.0, 1.0, 3), "not decided"),
        ("refuted", (-2.001, 1.0, 2.0, 3), (-2.0, 0.5, 2.0, 3), "not decided"),
        ("refuted", (-2.001, 1.0, 2.0, 3), (-2.001, 1.0, 2.0, 2), "against direction"),
        ("not decided", (0.0, 0.0, 0.0, 3), (0.001, 0.0, 0.0, 3), "confirmed"),
        ("in direction", (0.001, 9.0, 9.0, 1), (0.0, 0.0, 0.0, 1), "against direction"),
        ("exact", (0.0, 0.0, 0.0, 0), (0.0, 0.0, 0.0, 1), "against direction"),
    ],
)
def test_each_word_at_its_smallest_and_its_nearest_miss(
    said: Word, smallest: tuple[float, float, float, int], miss: tuple[float, float, float, int], instead: Word
) -> None:
    assert word(*smallest) == said
    assert word(*miss) == instead
    assert word(*smallest, ruler=False) == "cannot tell"


def test_no_effect_is_confirmed_in_one_case_of_a_hundred() -> None:
    generator = torch.Generator().manual_seed(0)
    effects, placebo = torch.randn(2, 20_000, 3, generator=generator, dtype=torch.float64)
    words = [
        word(*numbers, 3) for numbers in zip(
            effects.mean(1).tolist(), effects.std(1).tolist(), placebo.abs().amax(1).tolist(), strict=True)
    ]  # fmt: skip
    assert words.count("confirmed") / len(words) == pytest.approx(0.01, abs=0.005)
    assert words.count("refuted") / len(words) == pytest.approx(0.01, abs=0.005)


def one(effects: list[float], placebo: list[float], missing: str = "") -> Finding:
    return paired("c", effects, placebo, paper="p", here="h", placebo_of="q", unit="dB", missing=missing)


def test_effects_are_paired_by_training_and_the_placebo_is_its_largest() -> None:
    finding = one([1.0, 3.0, 5.0], [0.5, -2.5, 1.0])
    assert (finding.trainings, finding.effect, finding.deviation, finding.placebo) == (3, 3.0, 2.0, 2.5)
    assert finding.word == "not decided"  # not above two deviations of 2
    assert finding.cells == ("c", "p", "h", "3", "3 ± 2 dB", "2.5 dB (q)", "not decided")
    assert one([3.0], [1.0]).cells[4:] == ("3 dB", "1 dB (q)", "in direction")
    assert one([3.0] * 3, [1.0], "no ruler").verdict == "cannot tell: no ruler"
    exact = Finding("c", "p", "h", 0, 1.0)
    assert exact.cells[3:] == ("none", "1", "", "exact: holds")
    assert replace(exact, effect=0.0).verdict == "exact: fails"
    assert findings.table([finding]).splitlines()[2] == "| c | p | h | 3 | 3 ± 2 dB | 2.5 dB (q) | not decided |"


def test_a_finding_comes_back_from_json_with_its_word() -> None:
    finding = one([1.0, 1.1, 0.9], [0.1])
    content = json.loads(json.dumps(finding.as_json()))
    assert content["word"] == "confirmed"
    assert Finding.from_json(content) == finding


def test_figures_are_short() -> None:
    assert [figure(v) for v in (0.123456, 12.3456, 12345.6, math.inf)] == ["0.123", "12.3", "12,346", "exact"]


def numbers(**changed: tuple[float, float, float, float]) -> Numbers:
    """The paper's four rows three times, or others."""
    given = {**PUBLISHED, "robustness_evaluation": (5.0, 25.0, 3.0, 23.0), "ai_psnr_evaluation": (33.0,) * 4, **changed}
    return {arm: [{name: four[i] for name, four in given.items()}] * 3 for i, arm in enumerate(ARMS)}


REAL = {"precision": 0.7, "recall": 0.7}


def test_the_papers_numbers_confirm_the_papers_conclusions() -> None:
    found = conclusions(numbers(ai_psnr_evaluation=PUBLISHED["ai_psnr_paper"]), REAL)
    assert {finding.word for finding in found} <= {"confirmed"} | {"not decided"}
    undecided = [finding.claim for finding in found if finding.word != "confirmed"]
    assert undecided == ["The two robust models end within 3 dB of each other under the strong attack"]  # 1 < 2 dB
    recall, frechet, barely, several, *gains = found
    assert recall.effect == pytest.approx(0.24)
    assert recall.placebo == pytest.approx(0.006)
    assert recall.paper.startswith("0.24: stochastic 0.388 -> 0.268, deterministic 0.382 -> 0.022")
    assert frechet.effect == pytest.approx(19.55)
    assert barely.effect == pytest.approx(0.013)
    assert barely.placebo == 0
    assert several.effect == pytest.approx(0.105 - 3 * 0.007)
    assert gains[0].effect == pytest.approx(26.19 - 6.884)
    assert gains[0].placebo == pytest.approx(3.34)
    assert gains[-1].effect == pytest.approx(3.544 - 3.0)  # the least of any model


@pytest.mark.parametrize(
    ("which", "changed"),
    [
        (0, {"recall": (0.5, 0.2, 0.5, 0.4)}),
        (1, {"frechet": (14.0, 33.0, 14.0, 20.0)}),
        (2, {"std": (0.03, 0.1, 0.0, 0.0)}),
        (3, {"std": (0.01, 0.019, 0.0, 0.0)}),
        (4, {"robustness_paper": (26.0, 20.0, 25.0, 30.0)}),
        (5, {"robustness_paper": (26.0, 30.0, 25.0, 20.0)}),
        (6, {"robustness_evaluation": (25.0, 5.0, 24.0, 25.0)}),
        (7, {"robustness_evaluation": (25.0, 25.0, 24.0, 4.0)}),
        (8, {"robustness_evaluation": (5.0, 25.0, 5.0, 10.0)}),
        (9, {"robustness_evaluation": (7.0, 25.0, 3.0, 23.0), "ai_psnr_evaluation": PUBLISHED["ai_psnr_paper"]}),
    ],
)
def test_other_numbers_refute_them(which: int, changed: dict[str, tuple[float, float, float, float]]) -> None:
    assert conclusions(numbers(**changed), REAL)[which].word == "refuted"


def test_nothing_is_told_of_models_that_are_poor_and_no_recall_of_narrow_ones() -> None:
    at_gate = conclusions(numbers(precision=(0.7, 0.7, 0.7, 0.2334)), REAL)
    assert all(not finding.missing for finding in at_gate)
    poor = conclusions(numbers(precision=(0.7, 0.7, 0.7, 0.2333)), REAL)
    assert {finding.word for finding in poor} == {"cannot tell"}
    assert (
        "precision 0.233 of the deterministic, robust model is below a third of real images' 0.700" in poor[0].verdict
    )
    wide = conclusions(numbers(recall=(0.351, 0.3, 0.351, 0.0)), REAL)
    narrow = conclusions(numbers(recall=(0.351, 0.3, 0.349, 0.0)), REAL)
    assert [finding.word for finding in wide[:2]] == ["confirmed", "confirmed"]
    assert [finding.word for finding in narrow[:2]] == ["cannot tell", "confirmed"]
    assert conclusions(numbers(), REAL, missing="no bicubic")[3].verdict == "cannot tell: no bicubic"
    assert conclusions(numbers(), REAL, paper="Figure 3")[0].paper == "Figure 3"


@pytest.mark.parametrize("folder", STORED, ids=lambda path: path.name)
def test_the_stored_findings_are_the_rules(folder: Path) -> None:
    results = read_results(folder)
    for finding, content in zip(stored_findings(results), results["findings"], strict=True):
        assert content["word"] == finding.word
        assert finding.word not in ("confirmed", "refuted") or finding.trainings >= 3
        assert finding.claim in (folder / "table.md").read_text()
        assert f"| {finding.verdict} |" in (folder / "table.md").read_text()


def test_every_study_has_stored_findings() -> None:
    assert len(STORED) >= 12
    silent = {path.name for path in STORED if not stored_findings(read_results(path))}
    assert silent == {"toy-readings", "srflow-full"}  # the latter has no two models that a claim is about


def test_a_stored_confirmation_by_two_trainings_would_be_noticed() -> None:
    confirmed = one([1.0, 1.1, 0.9], [0.1]).as_json()
    assert Finding.from_json({**confirmed, "trainings": 2}).word == "in direction" != confirmed["word"]


def test_no_page_says_confirmed_of_fewer_than_three_trainings() -> None:
    """Outside the tables, which the rule writes, a paragraph that uses its words says of how many trainings."""
    root = readme.HERE.parent
    for path in (readme.HERE / "README.md", root / "README.md", *root.glob("docs/**/*.md")):
        for block in re.split(r"\n\s*\n|\n- ", path.read_text()):
            if re.search(r"\b([Cc]onfirm|[Rr]efut)ed\b", block) and not block.startswith("|"):
                assert re.search(r"three\s+trainings", block), (path, block)
