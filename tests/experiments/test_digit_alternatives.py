"""Eq. 7 beside other regularizers on the digits: equal cost, choice, words, and all of it in miniature."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from reference_experiments.__main__ import main
from reference_experiments.alternatives.findings import findings
from reference_experiments.alternatives.presets import PRESETS
from reference_experiments.alternatives.regularizers import (
    ARM,
    INTERVALS,
    TOLERANCE,
    Share,
    Term,
    forward_passes,
    l1_and_std_reward,
    shares,
    terms,
    weighted,
)
from reference_experiments.alternatives.run import NONE, Run, checkpoint_path, choose, measure_one, run, train_one
from reference_experiments.alternatives.tables import TITLES, tables
from reference_experiments.arms import Arm
from reference_experiments.digits.data import load_digits, observed
from reference_experiments.digits.training import DigitTraining, build_estimator, robustness, train
from reference_experiments.study import Place
from stochrobust import PAPER, TRAINING, SphereAscent, std_reward_loss

pytest.importorskip("sklearn")
TINY = DigitTraining(steps=4, width=16, n_seeds=2)
SETTINGS = PRESETS["smoke"]
GOOD = {"frechet": 0.2, "precision": 0.8, "recall": 0.7, "std": 0.1, "robustness_paper": 30.0}


def parameters(model: torch.nn.Module) -> Tensor:
    return torch.cat([value.flatten() for value in model.parameters()])


# -- cost --------------------------------------------------------------------------------------------------------------


def test_cost_of_passes_that_can_be_counted_by_hand() -> None:
    def loss(G: torch.nn.Module, _: Tensor, y: Tensor, n_seeds: int, generator: torch.Generator) -> Tensor:
        z = torch.zeros(n_seeds * len(y), TINY.z_dims)
        output: Tensor = G(y.repeat(n_seeds, 1).requires_grad_(), z)
        return output.sum()

    # A forward pass and a backward pass to the input and to every weight: two products for each of the forward's, but
    # for the fixed projections, which have no gradient of their own.
    wide = replace(TINY, waves=1)
    assert forward_passes(Term(loss, (1.0,)), 3, wide) == pytest.approx(9, rel=0.05)
    assert forward_passes(Term(loss, (1.0,)), 6, wide) == 2 * forward_passes(Term(loss, (1.0,)), 3, wide)


@pytest.mark.parametrize("attack", [PAPER, TRAINING, SphereAscent(3)], ids=["paper", "training", "3 steps"])
def test_all_terms_cost_the_same(attack: object) -> None:
    config = DigitTraining()
    found, every_term = shares(config, attack), terms(config, attack)
    assert found.keys() == every_term.keys()
    assert ("robustness" in found) is (attack != PAPER)
    target = found["paper"].forward_passes
    assert (found["paper"].n_seeds, found["paper"].every) == (config.n_seeds, config.every)
    assert target == pytest.approx(16 * 4 / 3, rel=0.1)  # 16 passes for each row, four seeds, every third step
    for name, share in found.items():
        cost = forward_passes(every_term[name], share.n_seeds, config) / share.every
        assert cost == pytest.approx(share.forward_passes)
        assert abs(cost / target - 1) <= TOLERANCE
        assert share.every in INTERVALS


def test_a_cost_that_cannot_be_met_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reference_experiments.alternatives.regularizers.TOLERANCE", 1e-9)
    with pytest.raises(ValueError, match=r"spectral costs .* passes per seed"):
        shares(TINY, PAPER)


# -- training ----------------------------------------------------------------------------------------------------------


def test_the_training_adds_the_regularizer_it_is_given() -> None:
    digits, config = load_digits().train, replace(TINY, steps=6)
    seen = []

    def regularizer(G: torch.nn.Module, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        assert torch.equal(x.where(observed(), 0), y)
        seen.append(x)
        loss: Tensor = 10 * G(y, torch.zeros(len(y), config.z_dims)).square().mean()
        return loss

    given = train(config, ARM, digits, 0, regularizer=regularizer)
    assert len(seen) == 2
    assert not torch.equal(parameters(given), parameters(train(config, ARM, digits, 0)))
    by_hand = train(config, ARM, digits, 0, regularizer=robustness(config))
    assert torch.equal(parameters(by_hand), parameters(train(config, ARM, digits, 0)))
    erratic = Arm(stochastic=True, robust=False)
    ignored = train(config, erratic, digits, 0, regularizer=regularizer)
    assert torch.equal(parameters(ignored), parameters(train(config, erratic, digits, 0)))


@pytest.mark.parametrize("name", terms(TINY, PAPER))
def test_each_term_trains_by_its_weight(name: str) -> None:
    term, digits, config = terms(TINY, PAPER)[name], load_digits().train, replace(TINY, every=1)
    small, again, large = (
        parameters(train(config, ARM, digits, 0, regularizer=weighted(term, weight, 2)))
        for weight in (term.weights[0], term.weights[0], term.weights[1])
    )
    assert torch.equal(small, again)
    assert not torch.equal(small, large)


def test_rcgan_is_l1_of_the_mean_and_the_reward_from_the_same_seeds() -> None:
    G, x = build_estimator(TINY, ARM), load_digits().train[:5]
    y = x.where(observed(), 0)
    found = l1_and_std_reward(G, x, y, 3, torch.Generator().manual_seed(0))
    rows = y.repeat_interleave(3, 0)
    z = G.sample_z(rows, torch.Generator().manual_seed(0))
    l1 = (G(rows, z).reshape(5, 3, 64).mean(1) - x).abs().mean()
    torch.testing.assert_close(found, l1 + std_reward_loss(G, y, 3, z=z))


def test_a_training_is_not_repeated_but_another_one_is_made(tmp_path: Path) -> None:
    term, share, digits = terms(TINY, PAPER)["jacobian"], Share(2, 1, 1.0), load_digits().train

    def at(settings: object = SETTINGS, **changes: object) -> Path:
        arguments = {"name": "jacobian", "term": term, "weight": 0.1, "seed": 0, "share": share} | changes
        return checkpoint_path(settings, tmp_path, **arguments)  # type: ignore[arg-type]

    others = [
        at(weight=0.2), at(seed=1), at(share=Share(3, 1, 1.0)), at(name="spectral"),
        at(term=term._replace(attack=TRAINING)), at(replace(SETTINGS, training=TINY)),
    ]  # fmt: skip
    assert len({at(), *others}) == 7
    assert at() == at(replace(SETTINGS, n_choosing=3))  # a network can be measured again
    first = train_one(SETTINGS, digits, term, 0.1, 0, share, at())
    second = train_one(SETTINGS, digits[:10], term, 0.1, 0, share, at())
    assert torch.equal(parameters(first.G), parameters(second.G))
    assert first.seconds == second.seconds
    assert not first.G.training
    x = load_digits().validation
    measured = measure_one(SETTINGS, x, first, "jacobian", 0.1, 0, at())
    assert measured == measure_one(SETTINGS, x[:0], first, "jacobian", 0.1, 0, at())
    assert measured.row != measured.choosing
    again = measure_one(replace(SETTINGS, n_choosing=300), x, first, "jacobian", 0.1, 0, at())
    assert again.choosing != measured.choosing


# -- choice and words --------------------------------------------------------------------------------------------------


def run_of(name: str, weight: float, frechet: float, dB: float, seed: int = 0, **row: float) -> Run:
    choosing = {"frechet": frechet, "robustness_evaluation": dB}
    return Run(name, weight, seed, choosing, GOOD | choosing | row, 10.0, "abc")


def test_the_weight_is_the_most_robust_of_the_good_ones_or_else_the_best() -> None:
    none = run_of(NONE, 0, 0.2, 7)
    assert choose(SETTINGS, [none, run_of("a", 1, 0.2, 10), run_of("a", 2, 0.4, 20), run_of("a", 3, 0.5, 30)], "a") == 2
    assert choose(SETTINGS, [none, run_of("a", 1, 0.6, 10), run_of("a", 2, 0.7, 20), run_of("b", 9, 0.2, 9)], "a") == 1
    strict = replace(SETTINGS, factor=1.5)
    assert choose(strict, [none, run_of("a", 1, 0.2, 10), run_of("a", 2, 0.4, 20)], "a") == 1


def results_of(runs: list[Run]) -> dict[str, Any]:
    """The results of some runs, the weight of each the last."""
    shares = {one.name: {"n_seeds": 4, "every": 3, "forward_passes": 20.0} for one in runs if one.name != NONE}
    settings = {"training": {"steps": 9}, "attack": "SphereAscent(2)", "n_training_seeds": 1, "n_weights": 1,
                "n_choosing": 5, "seed": 0}  # fmt: skip
    record = {"command": "c", "revision": "r", "hardware": "h", "seconds": 1, "training_cpu_seconds": 2,
              "trained_at": ["abc"]}  # fmt: skip
    results = {"runs": [one._asdict() for one in runs], "chosen_weights": {one.name: one.weight for one in runs},
               "shares": shares, "rule": "the rule", "compared": "it", "settings": settings,
               "record": record}  # fmt: skip
    return results | {"findings": [finding.as_json() for finding in findings(results)]}


def test_findings_follow_the_figures() -> None:
    def runs(eq7: float, other: float) -> list[Run]:
        return [
            one for seed in (0, 1) for one in (
                run_of(NONE, 0, 0.2, 7 + seed, seed=seed), run_of("paper", 1, 0.3, eq7 + seed, seed=seed),
                run_of("jacobian", 1, 0.3, other, seed=seed, std=0.2), run_of("spectral", 1, 0.3, 3.0, seed=seed),
            )
        ]  # fmt: skip

    found = findings(results_of(runs(20.0, 15.0)))
    assert [finding.word for finding in found] == ["in direction"] * 2 + ["against direction"] * 2
    assert "Jacobian penalty, the most robust of the other" in found[1].claim
    assert found[1].here == "Eq. 7, paper's attack 20.5 ± 0.7, Jacobian penalty 15.0 ± 0.0"
    assert (found[1].effect, found[1].placebo, found[1].trainings) == (5.5, 1.0, 2)
    assert [finding.word for finding in findings(results_of(runs(6.0, 15.0)))[:2]] == ["against direction"] * 2


def test_the_page_has_a_line_for_each_weight_and_all_its_training_seeds() -> None:
    page = tables(results_of([
        run_of(NONE, 0, 0.2, 7), run_of("paper", 1, 0.2, 10), run_of("paper", 1, 0.4, 20, seed=1),
        run_of("jacobian", 1, 9, 99), run_of("jacobian", 1, 9, 99, seed=1), run_of(NONE, 0, 0.2, 7, seed=1),
    ]))  # fmt: skip
    lines = [line for line in page.splitlines() if line.startswith("| Eq. 7, paper")]
    assert "15.0 ± 7.1" in lines[0]
    assert "| **1** | 4, 3 | 20.0 |" in lines[1]
    assert "Eq. 7 is trained by SphereAscent(2)" in page


def test_every_term_has_a_title() -> None:
    assert [*terms(TINY, TRAINING), NONE] == [*list(TITLES)[1:], NONE]


# -- the whole ---------------------------------------------------------------------------------------------------------


def test_every_weight_is_tried_and_the_chosen_ones_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "reference_experiments.alternatives.run"
    monkeypatch.setattr(f"{module}.train_one", lambda *arguments: None)
    monkeypatch.setattr(
        f"{module}.measure_one",
        lambda settings, x, model, name, weight, seed, path: run_of(name, weight, 0.2, 10 + weight, seed),
    )
    settings = replace(SETTINGS, n_weights=2, n_training_seeds=3)
    results, _ = run(settings, Place(tmp_path, tmp_path, seed=5))
    weights = {name: term.weights[:2] for name, term in terms(settings.training, settings.attack).items()}
    tried = {name: [one["weight"] for one in results["runs"] if one["name"] == name] for name in weights}
    assert tried == {name: [*sorted(pair), max(pair), max(pair)] for name, pair in weights.items()}
    assert [one["seed"] for one in results["runs"] if one["name"] == NONE] == [5, 6, 7]


def test_the_study_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    main(["alternatives", "--preset", "smoke", "--out", str(out), "--runs", str(tmp_path / "runs")])
    results = json.loads((out / "results.json").read_text())
    every_term = terms(SETTINGS.training, SETTINGS.attack)
    assert [run["name"] for run in results["runs"]] == [NONE, *every_term]
    assert all(results["chosen_weights"][name] == term.weights[0] for name, term in every_term.items())
    assert results["record"]["seconds"] > 0
    page = (out / "table.md").read_text()
    assert all(finding["claim"] in page for finding in results["findings"])
    assert all(f"| {TITLES[name]} |" in page for name in every_term)
    assert page in capsys.readouterr().out
    assert len(list((tmp_path / "runs").glob("*.pt"))) == len(results["runs"])
