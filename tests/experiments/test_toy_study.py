"""Training, resuming, evaluating and reporting the toy study at toy sizes."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from reference_experiments.__main__ import main
from reference_experiments.presets import ARMS, TOY
from reference_experiments.toy import report
from reference_experiments.toy.evaluation import evaluate_gan
from reference_experiments.toy.study import arm, only
from reference_experiments.toy.training import FromClean, ToyEstimator, ToyTraining, train
from stochrobust import PAPER_TOY, robustness_loss

TINY = ToyTraining(stochastic=True, weight=1e-3, every=2, steps=6, batch=8, n_seeds=3, n_train=50, n_models=2, width=16)


def weights(estimator: ToyEstimator) -> list[torch.Tensor]:
    return [p.detach().clone() for p in estimator.parameters()]


def test_paper_preset_is_appendix_e1s() -> None:
    paper = TOY["paper"].base
    estimator = ToyEstimator(replace(paper, n_models=1))
    assert sum(p.numel() for p in estimator.parameters()) == 790_017
    assert (paper.steps, paper.n_seeds, paper.eps, paper.r1, paper.lr) == (20_000, 50, 1e-3, 10.0, 1e-4)
    assert (paper.n_train, paper.every, paper.z_law) == (100_000, 3, "uniform")


def test_arms_differ_in_seed_and_weight_only() -> None:
    arms = {name: arm(TOY["quick"], name) for name in ARMS}
    alike = {name: replace(config, stochastic=False, weight=0.0) for name, config in arms.items()}
    assert len(set(alike.values())) == 1
    assert len(set(arms.values())) == 4


def test_the_robustness_losss_attack_is_the_one_named() -> None:
    paper, own = (weights(train(replace(TINY, attack=attack))) for attack in ("paper", "training"))
    assert any(not torch.equal(a, b) for a, b in zip(paper, own, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(paper, weights(train(TINY)), strict=True))


@pytest.mark.parametrize("stop", [2, 4])
def test_an_interrupted_run_resumes_to_the_same_bits(tmp_path: Path, stop: int) -> None:
    whole = train(TINY)

    class Interrupted(Exception):
        pass

    def interrupt(step: int, stats: dict[str, float]) -> None:
        if step == stop + 1:
            raise Interrupted

    path = tmp_path / "arm.pt"
    with pytest.raises(Interrupted):
        train(TINY, checkpoint=path, save_every=2, progress=interrupt)
    resumed_at: list[int] = []
    resumed = train(TINY, checkpoint=path, save_every=2, progress=lambda step, stats: resumed_at.append(step))
    assert resumed_at[0] == stop + 1
    for a, b in zip(weights(whole), weights(resumed), strict=True):
        assert torch.equal(a, b)


def test_checkpoint_of_another_run_or_half_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "arm.pt"
    train(replace(TINY, steps=1), checkpoint=path)
    with pytest.raises(ValueError, match="is of another run"):
        train(replace(TINY, batch=4), checkpoint=path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"cannot read the checkpoint .*arm.pt"):
        train(TINY, checkpoint=path)


@pytest.mark.parametrize(
    "change",
    [
        {"weight": 0.0}, {"weight": 10.0}, {"reduction": "sum"}, {"every": 3}, {"batch": 4}, {"n_seeds": 1},
        {"eps": 0.1}, {"r1": 0.0}, {"lr": 1e-3}, {"z_law": "normal"}, {"n_train": 20}, {"seed": 1},
        {"stochastic": False}, {"width": 8}, {"products": "bfloat16"},
    ],
)  # fmt: skip
def test_every_setting_counts(change: dict[str, Any]) -> None:
    config = replace(TINY, weight=100.0)
    changed = replace(config, **change)
    before, after = weights(train(config)), weights(train(changed))
    assert not all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("stochastic", [True, False])
def test_the_loss_from_changes_is_the_loss_of_the_estimator(stochastic: bool) -> None:
    estimator = ToyEstimator(replace(TINY, stochastic=stochastic)).double()
    y, eps = torch.rand(10, 1, dtype=torch.float64), 0.05
    rows = y.repeat_interleave(3, 0)
    z = torch.rand_like(rows) if stochastic else None
    found = []
    for G in (estimator, FromClean(estimator, rows, z)):
        generator = torch.Generator().manual_seed(0)
        loss = robustness_loss(G, y, eps, 3, z=z, attack=PAPER_TOY, generator=generator)
        found.append([loss, *torch.autograd.grad(loss, list(estimator.parameters()), materialize_grads=True)])
    assert found[0][0] > 0
    torch.testing.assert_close(found[0], found[1])


def test_models_side_by_side_have_nothing_in_common() -> None:
    estimator = ToyEstimator(TINY)
    y, z = torch.rand(10, 1), torch.rand(10, 1)
    together = estimator(y, z)
    for index in range(2):
        rows = slice(5 * index, 5 * index + 5)
        torch.testing.assert_close(only(estimator, TINY, index)(y[rows], z[rows]), together[rows])
    gradient = torch.autograd.grad(together[:5].sum(), list(estimator.parameters()))
    assert all((g[1] == 0).all() for g in gradient)


def test_estimates_are_consistent_and_deterministic_ones_ignore_chance() -> None:
    y = torch.rand(8, 1)
    for stochastic in (True, False):
        estimator = ToyEstimator(replace(TINY, stochastic=stochastic))
        first, second = estimator.restore(y), estimator.restore(y)
        assert torch.equal(first[:, :1], y)
        assert torch.equal(first, second) != stochastic


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_nan_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "arm.pt"
    with pytest.raises(FloatingPointError, match="not finite at step"):
        train(replace(TINY, lr=float("inf")), checkpoint=path, save_every=1)


@pytest.mark.filterwarnings("ignore:G's output is exactly the same:stochrobust.AttackWarning")  # as it is
def test_evaluation_of_a_known_estimator() -> None:
    estimator = ToyEstimator(replace(TINY, n_models=1, stochastic=False))
    with torch.no_grad():
        for parameter in estimator.parameters():
            parameter.zero_()
    found = evaluate_gan(
        estimator, "uniform", 1e-3, torch.Generator().manual_seed(0), n_validation=20, n_inputs=10, n_draws=2
    )
    assert found["attack"] == found["same_seed"] == found["w2"] == found["std"] == 0
    assert found["recall"] < 0.05  # the posterior mean: a line through the disk
    assert found["precision"] > 0.95


@pytest.mark.slow
def test_smoke_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(
        ["toy", "--preset", "smoke", "--width", "16", "--out", str(tmp_path / "out"), "--runs", str(tmp_path / "runs")]
    )
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(results["gans"]) == set(ARMS)
    assert results["settings"]["base"]["width"] == 16
    assert all(len(entry["models"]) == 2 for entry in results["gans"].values())
    for field in ("command", "revision", "hardware", "seconds", "seed"):
        assert results["record"][field] is not None
    assert (tmp_path / "out" / "table.md").read_text() in capsys.readouterr().out
    for name in ("figure2", "figure4", "figure5", "appendix_d"):
        assert (tmp_path / "out" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def measured() -> dict[str, Any]:
    numbers = {
        "attack": 0.9e-3,
        "attack_on_few": 0.8e-3,
        "precision": 0.97,
        "recall": 0.98,
        "same_seed": 1e-3,
        "w2": 0.9e-3,
    }
    return {"gans": {name: {"models": [dict(numbers), dict(numbers)]} for name in report.PAPER}}


def test_conclusions_follow_the_numbers() -> None:
    good = measured()
    for model in good["gans"]["RobustGAN"]["models"]:
        model.update(recall=0.02, same_seed=0.5e-3, w2=0.5e-3)
    text = "\n".join(report.conclusions(good))
    assert "2.0 times less sensitive costs it recall: 0.980 -> 0.020" in text
    assert "RobustStoGAN keeps precision and recall above 0.95 at every training seed: the lowest is 0.970" in text
    assert "never exceeds" in text
    assert "maxima are 0.62 to 1.25 times what the 4-step attack finds, and change the order" in text
    for model in good["gans"]["RobustGAN"]["models"]:
        model.update(attack_on_few=0.4e-3)
    assert "1.25 to 1.25 times what the 4-step attack finds, and leave the order" in "\n".join(report.conclusions(good))
    good["gans"]["StoGAN"]["models"] = [{**numbers, "attack": 0.4e-3} for numbers in good["gans"]["StoGAN"]["models"]]
    good["gans"]["RobustStoGAN"]["models"][0]["attack"] = good["gans"]["RobustStoGAN"]["models"][1]["attack"] = 0.2e-3
    assert "ours are 0.40 and 0.20: its two rows fit exchanged" in "\n".join(report.conclusions(good))
    bad = copy.deepcopy(good)
    bad["gans"]["RobustStoGAN"]["models"][0]["attack"] = 2e-3
    assert "its two rows fit as printed" in "\n".join(report.conclusions(bad))
    bad = copy.deepcopy(good)
    bad["gans"]["StoGAN"]["models"][1].update(recall=0.5, w2=2e-3)
    bad["gans"]["RobustGAN"] = measured()["gans"]["RobustGAN"]
    text = "\n".join(report.conclusions(bad))
    assert "does not cost it recall: 0.980 -> 0.980" in text
    assert "- StoGAN does not keep precision and recall above 0.95 at every training seed: the lowest is 0.500" in text
    assert "Eq. 5 exceeds Eq. 7" in text
    del good["gans"]["StoGAN"], good["gans"]["ErraticGAN"]
    text = "\n".join(report.conclusions(good))
    assert "RobustStoGAN keeps" in text
    assert "- StoGAN" not in text
    assert "deterministic" not in text


def test_spread_is_over_training_seeds() -> None:
    assert report.spread([1.0, 3.0], 1) == "2.0 ± 1.4"
    assert report.spread([1.0], 1) == "1.0"
