"""Training, resuming, evaluating and reporting the toy study at toy sizes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from reference_experiments.__main__ import main
from reference_experiments.toy import findings
from reference_experiments.toy.evaluation import evaluate_gan
from reference_experiments.toy.merge import merged
from reference_experiments.toy.presets import ARMS, PRESETS
from reference_experiments.toy.run import only
from reference_experiments.toy.training import FromClean, ToyEstimator, ToyTraining, train
from stochrobust import PAPER_TOY, robustness_loss

TINY = ToyTraining(stochastic=True, weight=1e-3, every=2, steps=6, batch=8, n_seeds=3, n_train=50, n_models=2, width=16)


def weights(estimator: ToyEstimator) -> list[torch.Tensor]:
    return [p.detach().clone() for p in estimator.parameters()]


def test_paper_preset_is_appendix_e1s() -> None:
    paper = PRESETS["paper"].base
    estimator = ToyEstimator(replace(paper, n_models=1))
    assert sum(p.numel() for p in estimator.parameters()) == 790_017
    assert (paper.steps, paper.n_seeds, paper.eps, paper.r1, paper.lr) == (20_000, 50, 1e-3, 10.0, 1e-4)
    assert (paper.n_train, paper.every, paper.z_law) == (100_000, 3, "uniform")


def test_arms_differ_in_seed_and_weight_only() -> None:
    arms = {name: PRESETS["quick"].training(name, 3) for name in ARMS}
    alike = {name: replace(config, stochastic=False, weight=0.0) for name, config in arms.items()}
    assert len(set(alike.values())) == 1
    assert len(set(arms.values())) == 4
    assert {config.seed for config in arms.values()} == {3}


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
    state = torch.load(path)
    del state["config"]["products"]  # as version 0.1.0 wrote it
    torch.save(state, path)
    train(replace(TINY, steps=1), checkpoint=path)
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


def measured(**changed: list[dict[str, float]]) -> dict[str, Any]:
    """Three trainings of each arm, with the paper's numbers but for a little, or others."""
    little = (0.999, 1.0, 1.001)
    gans = {
        name: {"models": [{"same_seed": 1.2 * x * p["attack"], "w2": x * p["attack"], "attack_on_few": x * p["attack"],
                           **{key: x * value for key, value in p.items()}} for x in little]}
        for name, p in findings.PAPER.items()
    }  # fmt: skip
    for name, models in changed.items():
        gans[name] = {"models": [old | new for old, new in zip(gans[name]["models"], models, strict=True)]}
    return {"gans": gans}


def test_the_papers_numbers_confirm_what_it_prints() -> None:
    found = findings.findings(measured())
    assert [finding.word for finding in found] == ["confirmed"] * 6 + ["exact"]
    recall, ahead, robust, *_, last = found
    assert recall.effect == pytest.approx(0.207)
    assert recall.placebo == pytest.approx(0.01, abs=1e-4)
    assert ahead.effect == pytest.approx(0.973)
    assert robust.effect == pytest.approx(2.85)
    assert robust.placebo == pytest.approx(0.51 * 0.002)  # two trainings of one arm
    assert last.here.startswith("12 of 12 models; the true maximum of Eq. 7 is 1.20 times")
    assert last.verdict == "exact: holds"


def test_other_numbers_say_otherwise() -> None:
    bad = measured(RobustGAN=[{"recall": 0.5, "attack": 9e-3}] * 3, RobustStoGAN=[{"attack": 1e-5, "w2": 9.0}] * 3)
    words = [finding.word for finding in findings.findings(bad)]
    assert words == ["refuted", "confirmed", "refuted", "confirmed", "confirmed", "refuted", "exact"]
    assert findings.findings(bad)[-1].verdict == "exact: fails"
    bad = measured(RobustStoGAN=[{"recall": recall} for recall in (0.2, 0.99, 0.5)])
    assert findings.findings(bad)[0].word == "not decided"  # the two stochastic GANs differ as much
    few = measured()
    del few["gans"]["StoGAN"], few["gans"]["ErraticGAN"]
    assert [finding.claim[:24] for finding in findings.findings(few)] == [
        "Of the two robust GANs t", "Of the two robust GANs t", "Appendix D: Eq. 5 never "
    ]  # fmt: skip


def test_theorem_1_by_its_draws() -> None:
    def row(name: str, data: float, inconsistency: float, posterior: float) -> dict[str, Any]:
        return {"estimator": name, **{key: {"mean": mean, "spread": 0.001} for key, mean in (
            ("w2_to_data", data), ("inconsistency", inconsistency), ("w2_to_posterior", posterior))}}  # fmt: skip

    rows = [row("posterior", 0.005, 0, 0.005), row("unrelated", 0.0065, 0.7, 0.5), row("arcsine", 0.02, 0, 0.021)]
    (found,) = findings.findings({"gans": {}, "exact": {"theorem_1": rows}})
    assert found.verdict == "exact: holds"
    assert "2 of 2 others, at least 3.0 times the floor away" in found.here
    rows[2] = row("arcsine", 0.0065, 0, 0.021)  # perfect, within two deviations of the floor
    assert findings.findings({"gans": {}, "exact": {"theorem_1": rows}})[0].verdict == "exact: fails"


def one_run(seed: int, *arms: str, **changed: Any) -> dict[str, Any]:
    """What one run leaves, with the paper's numbers and something of its seed."""
    gans = {
        name: {"steps": 20, "seconds": 2.0, "models": [{**measured()["gans"][name]["models"][0], "std": float(seed)}]}
        for name in arms
    }
    command = f"python -m reference_experiments toy --seed {seed} --runs 'some where' --arms {' '.join(arms)} --out o"
    record = {"command": command, "revision": "abc", "hardware": "CPU", "seconds": 5.0, "seed": seed}
    settings = {"base": {"seed": 0, "steps": 20, "width": 16}, "weight": 1e-3, "arms": list(arms)}
    return {"settings": settings, "gans": gans, "record": record, "zigzag": seed, **changed}


def test_runs_of_several_seeds_merge_to_arms_with_all_their_trainings() -> None:
    runs = [one_run(2, "RobustGAN"), one_run(0, "StoGAN", "RobustGAN"), one_run(1, "RobustGAN"), one_run(1, "StoGAN")]
    found = merged(runs)
    assert list(found["gans"]) == ["RobustGAN", "StoGAN"]  # in the order of the arms
    assert [(m["seed"], m["std"]) for m in found["gans"]["RobustGAN"]["models"]] == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert [m["seed"] for m in found["gans"]["StoGAN"]["models"]] == [0, 1]
    assert (found["gans"]["StoGAN"]["steps"], found["gans"]["RobustGAN"]["seconds"]) == (20, 6.0)
    assert found["zigzag"] == 0
    assert merged([*runs, one_run(3, exact={})])["zigzag"] == 3
    record = found["record"]
    assert (record["seed"], record["seconds"], record["revision"]) == ("0, 1, 2", 20.0, "abc")
    assert record["command"].startswith("python -m reference_experiments toy --seed 0 --arms StoGAN RobustGAN; ")
    assert "some where" not in record["command"]


def test_runs_that_do_not_belong_together_do_not_merge() -> None:
    for other, message in (
        (one_run(1, "StoGAN", settings={"base": {"seed": 1, "steps": 30}, "weight": 1e-3}), r"\['steps'\] differ"),
        (one_run(1, "StoGAN", settings={"base": {"seed": 0}, "weight": 1e-2}), r"\['weight'\] differ"),
        (one_run(0, "StoGAN"), "StoGAN was trained twice with seed 0"),
        (one_run(1, gans={"StoGAN": {"models": [{}, {}]}}), "one model of each arm, got 2 of StoGAN"),
    ):
        with pytest.raises(ValueError, match=message):
            merged([one_run(0, "StoGAN"), other])


def test_findings_pair_the_trainings_that_both_arms_have() -> None:
    results = merged([one_run(seed, "ErraticGAN", "RobustGAN") for seed in (0, 1, 2)] + [one_run(2, "RobustStoGAN")])
    robust = results["gans"]["RobustGAN"]["models"]
    robust[2]["recall"] = 0.5
    counts = {finding.claim: finding.trainings for finding in findings.findings(results)}
    assert counts["Robustness costs the deterministic GAN recall"] == 3
    assert counts["Of the two robust GANs the stochastic one has the higher recall"] == 1
    effect = next(f.effect for f in findings.findings(results) if "higher recall" in f.claim)
    assert effect == pytest.approx(results["gans"]["RobustStoGAN"]["models"][0]["recall"] - 0.5)
    assert not any("of the stochastic GAN" in claim for claim in counts)


@pytest.mark.slow
def test_merge_from_the_command_line(tmp_path: Path) -> None:
    common = ["toy", "--preset", "smoke", "--width", "16", "--n-models", "1", "--workers", "1", "--arms", "RobustGAN"]
    for seed in ("0", "1"):
        places = ["--out", str(tmp_path / f"out{seed}"), "--runs", str(tmp_path / f"runs{seed}")]
        main([*common, "--seed", seed, *places])
    folders = [str(tmp_path / name) for name in ("out0", "out1")]
    main(["merge-toy", *folders, "--out", str(tmp_path / "all"), "--drawn", str(tmp_path / "runs0")])
    results = json.loads((tmp_path / "all" / "results.json").read_text())
    assert [model["seed"] for model in results["gans"]["RobustGAN"]["models"]] == [0, 1]
    assert "2 training seed(s)" in (tmp_path / "all" / "table.md").read_text()
    assert (tmp_path / "all" / "figure2.png").exists()
