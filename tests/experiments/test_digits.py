"""The digits demo: its parts against known answers, and the whole of it in miniature."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from reference_experiments.__main__ import main
from reference_experiments.arms import ARMS, Arm
from reference_experiments.demo.figures import model_panels
from reference_experiments.demo.presets import PRESETS
from reference_experiments.demo.tables import COLUMNS, table1
from reference_experiments.digits.data import N_VALIDATION, load_digits, observed
from reference_experiments.digits.evaluation import Protocol, measure, raw_pixel_frechet, realism, robustness, std_map
from reference_experiments.digits.restorers import load_restorer
from reference_experiments.digits.training import DigitTraining, build_estimator, restore, train
from stochrobust import InpaintingProjector, consistency_psnr

pytest.importorskip("sklearn")
TINY = DigitTraining(steps=4, width=16, n_seeds=2)
PROTOCOL = Protocol(n_draws=2, n_samples=3, n_seeds=2)


def some_inputs(n: int) -> torch.Tensor:
    return load_digits().validation[:n].where(observed(), 0)


def test_the_split_is_disjoint_complete_and_fixed() -> None:
    digits = load_digits()
    assert len(digits.train) + len(digits.validation) == 1797
    assert len(digits.validation) == N_VALIDATION
    rows = {tuple(row) for row in digits.train.tolist()}
    assert not rows & {tuple(row) for row in digits.validation.tolist()}
    assert torch.equal(load_digits().train, digits.train)
    assert (float(digits.train.min()), float(digits.train.max())) == (0, 1)


def test_the_bottom_quarter_is_observed() -> None:
    image = observed().reshape(8, 8)
    assert image[6:].all()
    assert not image[:6].any()


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.name)
def test_every_arm_is_consistent_and_uses_seeds_only_if_stochastic(arm: Arm) -> None:
    G, y = build_estimator(TINY, arm), some_inputs(5)
    with torch.no_grad():
        first, second = (restore(G, y, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert (consistency_psnr(first, y, InpaintingProjector(observed())).raw >= 100).all()
    assert torch.equal(first, second) is not arm.stochastic


def test_the_arms_share_their_network() -> None:
    shapes = [{name: value.shape for name, value in build_estimator(TINY, arm).state_dict().items()} for arm in ARMS]
    assert all(shape == shapes[0] for shape in shapes)


def test_the_gains_of_the_two_inputs_are_used() -> None:
    y = some_inputs(3)

    def output(z: float, frequency: float = 4.0, z_gain: float = 1.0) -> torch.Tensor:
        torch.manual_seed(0)
        G = build_estimator(replace(TINY, frequency=frequency, z_gain=z_gain), ARMS[0])
        with torch.no_grad():
            x_hat: torch.Tensor = G(y, torch.full((3, TINY.z_dims), z))
        return x_hat

    assert torch.equal(output(1.0, z_gain=0.0), output(2.0, z_gain=0.0))
    assert torch.equal(output(1.0, z_gain=2.0), output(2.0, z_gain=1.0))
    assert not torch.equal(output(0.0, frequency=1.0), output(0.0, frequency=2.0))


def test_training_depends_on_the_seed_alone_and_the_robust_arm_differs() -> None:
    digits = load_digits().train

    def weights(arm: Arm, seed: int) -> torch.Tensor:
        return torch.cat([value.flatten() for value in train(TINY, arm, digits, seed).parameters()])

    robust = weights(Arm(stochastic=True, robust=True), 3)
    before = torch.random.get_rng_state()
    assert torch.equal(robust, weights(Arm(stochastic=True, robust=True), 3))
    assert torch.equal(before, torch.random.get_rng_state())
    assert not torch.equal(robust, weights(Arm(stochastic=True, robust=True), 4))
    assert not torch.equal(robust, weights(Arm(stochastic=True, robust=False), 3))


def test_the_robustness_loss_is_added_at_every_third_step() -> None:
    digits = load_digits().train
    erratic, robust = Arm(stochastic=False, robust=False), Arm(stochastic=False, robust=True)
    for steps, same in ((2, True), (3, False)):
        config = DigitTraining(steps=steps, width=16)
        pairs = zip(*(train(config, arm, digits, 0).parameters() for arm in (erratic, robust)), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs) is same


def test_training_stops_at_a_loss_that_is_not_finite() -> None:
    with pytest.raises(FloatingPointError, match="step 4"):
        train(TINY, ARMS[0], torch.full((10, 64), torch.nan), 0)


def test_frechet_distance_of_gaussians_that_commute() -> None:
    draws = torch.randn(400, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whitened = (draws - draws.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(draws.T.cov())).T
    real = whitened * torch.tensor([1.0, 2.0, 0.0])
    generated = whitened * torch.tensor([3.0, 2.0, 1.0]) + torch.tensor([0.5, 0.0, 0.0])
    assert raw_pixel_frechet(real=real, generated=generated) == pytest.approx(0.25 + 4 + 0 + 1)
    assert raw_pixel_frechet(real=real, generated=real) == pytest.approx(0, abs=1e-12)


def test_realism_averages_the_draws() -> None:
    real = load_digits().validation[:40]
    far = real + 100
    near, both = realism(real, [real]), realism(real, [real, far])
    assert (near["precision"], near["recall"]) == (1, 1)
    assert (both["precision"], both["recall"]) == (0.5, 0.5)
    assert both["frechet"] == pytest.approx(64 * 100**2 / 2, rel=1e-3)


@pytest.mark.parametrize("arm", ARMS[::2], ids=lambda arm: arm.name)
def test_attacks_are_as_large_as_allowed_and_the_stronger_finds_more(arm: Arm) -> None:
    G = build_estimator(TINY, arm)
    found = robustness(G, some_inputs(6), TINY.eps, 2, torch.Generator().manual_seed(0))
    assert found["ai_psnr_paper"] == pytest.approx(30, abs=0.2)
    assert found["ai_psnr_evaluation"] == pytest.approx(30, abs=0.2)
    assert found["robustness_evaluation"] < found["robustness_paper"] + 0.1


def test_only_stochastic_estimators_vary_and_only_where_nothing_is_known() -> None:
    generator = torch.Generator().manual_seed(0)
    spread = std_map(build_estimator(TINY, ARMS[0]), some_inputs(4), 8, generator).map()
    assert (spread[:, ~observed()] > 0).all()
    assert (spread[:, observed()] == 0).all()
    assert not std_map(build_estimator(TINY, ARMS[2]), some_inputs(4), 8, generator).map().any()


def test_measuring_is_repeatable() -> None:
    G, x = build_estimator(TINY, ARMS[0]), load_digits().validation[:30]
    row = measure(G, x, TINY.eps, PROTOCOL, 1)
    assert row == measure(G, x, TINY.eps, PROTOCOL, 1)
    assert row["std"] != measure(G, x, TINY.eps, PROTOCOL, 2)["std"]


def test_the_figure_shows_samples_an_attack_within_its_radius_and_the_spread() -> None:
    y, known = some_inputs(3), observed()
    panels = dict(model_panels(build_estimator(TINY, ARMS[0]), y, TINY.eps, 0))
    assert list(panels) == ["sample 1", "sample 2", "sample 3", "1, attacked", "std"]
    assert not torch.equal(panels["sample 1"], panels["sample 2"])
    moved = (panels["1, attacked"] - y)[:, known].norm(dim=1)
    assert ((moved > 0) & (moved <= TINY.eps * 1.001)).all()
    assert (panels["std"][:, ~known] > 0).all()
    fixed = dict(model_panels(build_estimator(TINY, ARMS[2]), y, TINY.eps, 0))
    assert torch.equal(fixed["sample 1"], fixed["sample 2"])


def test_the_table_has_a_row_per_arm_and_for_each_reference() -> None:
    values = {name: {"values": [0.1, 0.3]} for name in COLUMNS} | {"consistency": {"values": [torch.inf, torch.inf]}}
    results: dict[str, Any] = {"arms": {arm.name: values for arm in ARMS}, "training_digits": {"recall": 0.9}}
    lines = table1(results | {"references": {"Other": {"recall": 0.5}}}).splitlines()
    assert len(lines) == 2 + 4 + 2
    assert lines[3].startswith("| Stochastic, robust | 0.20 ± 0.14 |")
    assert lines[3].endswith("| exact |")
    assert lines[-2].startswith("| *Other* |  |  | 0.50 |")
    assert len({line.count("|") for line in lines}) == 1


def test_the_demo_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    main(["demo", "--preset", "smoke", "--out", str(out)])
    results = json.loads((out / "results.json").read_text())
    assert list(results["arms"]) == [arm.name for arm in ARMS]
    assert results["arms"]["stochastic, robust"]["ai_psnr_paper"]["values"] == [pytest.approx(30, abs=0.2)]
    assert results["record"]["seconds"] > 0
    assert (out / "figure.png").read_bytes()[:4] == b"\x89PNG"
    printed = capsys.readouterr().out
    assert (out / "table.md").read_text() in printed
    assert str(out) in printed
    assert all(finding["claim"] in printed for finding in results["findings"])
    y = some_inputs(5)
    z = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    for arm in ARMS:
        again, kept = train(PRESETS["smoke"].training, arm, load_digits().train, 0), load_restorer(arm, out / "models")
        seeds = (z,) if arm.stochastic else ()
        images = kept(y.view(5, 1, 8, 8), *seeds)
        torch.testing.assert_close(images.flatten(1), again(y, *seeds), rtol=0, atol=1e-4)
