"""The study of diffusion restorers: its parts against known answers, and the whole of it in miniature."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reference_experiments.__main__ import main
from reference_experiments.diffusion import digits_part, disk_part
from reference_experiments.diffusion.findings import findings
from reference_experiments.diffusion.memory import PeakMemory
from reference_experiments.diffusion.models import (
    Denoiser,
    DiffusionSampler,
    DiskMean,
    DiskPosterior,
    MeanOf,
    consistent_digit,
    hidden,
    restored,
)
from reference_experiments.diffusion.presets import PRESETS
from reference_experiments.diffusion.tables import GANS, times_as_long
from reference_experiments.diffusion.training import FitConfig, Pairs, disk_pairs, fit, regression_loss, velocity_loss
from reference_experiments.digits.data import load_digits, observed
from reference_experiments.toy.data import disk, half_height
from reference_experiments.toy.evaluation import maxima
from stochrobust import PGD, robustness_loss, same_seed_change, sensitivity
from tests.problems import disk_posterior_w2

pytest.importorskip("sklearn")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_inputs(n: int) -> Tensor:
    return load_digits().validation[:n].where(observed(), 0)


class GaussianDenoiser(Denoiser):
    """The exact velocity where u is normal with a given mean and standard deviation."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__(1, 1, 2)
        self.mean, self.std = mean, std

    def forward(self, x: Tensor, y: Tensor, t: Tensor) -> Tensor:
        alpha, sigma = (math.pi / 2 * t).cos(), (math.pi / 2 * t).sin()
        variance = (alpha * self.std).square() + sigma.square()
        u = self.mean + alpha * self.std**2 * (x - alpha * self.mean) / variance
        noise = sigma * (x - alpha * self.mean) / variance
        return alpha * noise - sigma * u


# -- models ------------------------------------------------------------------------------------------------------------


def test_an_exact_denoiser_of_one_point_restores_it() -> None:
    sampler, y = DiffusionSampler(GaussianDenoiser(0.7, 0.0), 7), torch.zeros(5, 1, dtype=torch.float64)
    torch.testing.assert_close(restored(sampler, y, seeded()), torch.full_like(y, 0.7))
    pairs = Pairs(torch.zeros(50, 1), torch.full((50, 1), 0.7))
    assert velocity_loss(sampler.denoiser, pairs, seeded()) < 1e-9
    assert velocity_loss(GaussianDenoiser(0.6, 0.0), pairs, seeded()) > 1e-3


def test_an_exact_denoiser_of_a_gaussian_samples_it() -> None:
    x_hat = restored(DiffusionSampler(GaussianDenoiser(0.3, 0.5), 200), torch.zeros(20_000, 1), seeded())
    assert float(x_hat.mean()) == pytest.approx(0.3, abs=0.02)
    assert float(x_hat.std()) == pytest.approx(0.5, abs=0.02)


def test_every_part_of_the_noise_counts() -> None:
    sampler, y = DiffusionSampler(Denoiser(2, 1, 8), 4), torch.zeros(3, 1)
    z = sampler.sample_z(y, seeded())
    assert [noise.shape for noise in z] == [(3, 2)] * 4
    for i in range(4):
        other = tuple(noise + (j == i) for j, noise in enumerate(z))
        assert not torch.isclose(sampler(y, z), sampler(y, other)).any()


@pytest.mark.parametrize("recompute", [False, True])
def test_noise_inside_is_the_same_noise(recompute: bool) -> None:
    sampler, y, own = DiffusionSampler(Denoiser(48, 16, 8), 4, recompute).eval(), some_inputs(5), seeded(3)
    inside, outside = consistent_digit(hidden(sampler, own)), consistent_digit(sampler)
    assert torch.equal(inside(y), restored(outside, y, seeded(3)))
    state = own.get_state()
    assert (same_seed_change(inside, y, torch.zeros_like(y), 2) == 0).all()
    robustness_loss(inside, y, 0.1, 2).backward()
    assert torch.equal(own.get_state(), state)


def test_checkpointed_steps_give_the_same_attacks_and_gradients() -> None:
    plain, y = DiffusionSampler(Denoiser(2, 3, 8), 4).double(), torch.rand(3, 3, dtype=torch.float64)
    found = []
    for sampler in (plain, DiffusionSampler(copy.deepcopy(plain.denoiser), 4, recompute=True)):
        delta = sensitivity(sampler, y, 1.0, 2, attack=PGD(3), generator=seeded()).delta
        loss = robustness_loss(sampler, y, 1.0, 2, generator=seeded())
        found.append([delta, *torch.autograd.grad(loss, list(sampler.parameters()))])
    torch.testing.assert_close(found[0], found[1], atol=0, rtol=1e-6)


def test_a_digit_reads_and_keeps_the_observed_pixels() -> None:
    G, y = consistent_digit(nn.Linear(16, 48)), some_inputs(4)
    x_hat, unread = G(y), y.where(observed(), 5.0)
    assert torch.equal(x_hat[:, observed()], y[:, observed()])
    assert torch.equal(x_hat, G(unread))
    shade = nn.Linear(16, 48)
    nn.init.zeros_(shade.weight)
    nn.init.constant_(shade.bias, 0.5)
    torch.testing.assert_close(consistent_digit(shade)(y)[:, ~observed()], torch.full((4, 48), 0.75))
    nn.init.constant_(shade.bias, 7.0)
    assert consistent_digit(shade)(y)[:, ~observed()].eq(1).all()


def test_the_mean_of_samples_has_the_same_seeds_for_every_input() -> None:
    G, y = consistent_digit(DiffusionSampler(Denoiser(48, 16, 8), 3)), some_inputs(4)
    mean = MeanOf(G, 5, 0)
    assert not hasattr(mean, "sample_z")
    z = G.sample_z(torch.zeros(5, 64), seeded(0))
    by_hand = torch.stack([G(y, tuple(noise[s].expand(4, -1) for noise in z)) for s in range(5)]).mean(0)
    torch.testing.assert_close(mean(y), by_hand)
    torch.testing.assert_close(mean(y)[2:3], mean(y[2:3]))


# -- training ----------------------------------------------------------------------------------------------------------


def test_a_fit_keeps_the_averaged_weights_of_the_least_held_out_loss() -> None:
    known = torch.randn(400, 2, generator=seeded())
    pairs = Pairs(known, known @ torch.tensor([[1.0], [-2.0]]))
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    found = fit(model, regression_loss, pairs, pairs, FitConfig(600, lr=0.02, decay=0.9, every=100), 0)
    assert found.loss < 1e-3
    assert float(regression_loss(model, pairs, seeded()).detach()) == pytest.approx(found.loss, rel=1e-4)
    misled = nn.Linear(2, 1)
    early = fit(misled, regression_loss, pairs, Pairs(known, misled(known).detach()), FitConfig(60, every=20), 0)
    assert early.step == 20  # from there on it only leaves what the held-out data say


def test_a_fit_without_a_finite_loss_raises() -> None:
    pairs = Pairs(torch.full((9, 2), torch.nan), torch.zeros(9, 1))
    with pytest.raises(FloatingPointError, match="never finite in 3 steps"):
        fit(nn.Linear(2, 1), regression_loss, pairs, pairs, FitConfig(3), 0)


def test_pairs() -> None:
    points = disk(10, seeded())
    assert torch.equal(torch.cat(disk_pairs(10, seeded()), 1), points)


# -- measuring ---------------------------------------------------------------------------------------------------------


def test_the_exact_sampler_of_the_disk_has_its_closed_form() -> None:
    part = PRESETS["smoke"].disk
    y = torch.tensor([0.1, -0.5, 0.8], dtype=torch.float64)
    expected = [max(disk_posterior_w2(float(at), sign * part.eps) for sign in (-1, 1)) for at in y]
    without_x1 = math.sqrt(sum(w2**2 - part.eps**2 for w2 in expected) / 3)
    assert disk_part.posterior_w2(y, part.eps) == pytest.approx(without_x1, rel=1e-6)
    G = DiskPosterior()
    seeds = disk_part.common_seeds(G, 4000, seeded())
    draws = disk_part.conditional(G, seeds)
    torch.testing.assert_close(draws(y).sort(1).values, disk_part.exact_posterior(y, 4000), rtol=0, atol=0.05)
    true = maxima(draws, y, part.eps)
    assert true.w2 == pytest.approx(without_x1, rel=0.02)
    assert true.same_seed == pytest.approx(true.w2, rel=1e-6)


def test_the_disks_laws_are_told_apart() -> None:
    y = torch.tensor([0.1, -0.5], dtype=torch.float64)
    exact = disk_part.exact_posterior(y)
    assert (exact.abs() <= half_height(y)[:, None]).all()
    torch.testing.assert_close(exact.std(1), half_height(y) / math.sqrt(3), rtol=0.01, atol=0)
    part = PRESETS["smoke"].disk
    mean, sampler = (disk_part.measure(G, part, 0) for G in (DiskMean(), DiskPosterior()))
    assert (mean["same_seed"], mean["w2"], mean["std"], mean["mean"]) == (0, 0, 0, 0)
    assert "attack_w2" not in mean
    assert sampler["w2"] > 0
    assert sampler["attack_same_seed"] == pytest.approx(1, abs=0.1)


def test_stored_gans_are_used_at_their_radius_only() -> None:
    assert len(disk_part.stored_gans(1e-3)) == 4
    assert disk_part.stored_gans(2e-3) == {}


def test_attacks_on_digits_move_observed_pixels_only() -> None:
    part = replace(PRESETS["smoke"].digits, attack=PGD(10))
    G = consistent_digit(nn.Linear(16, 48))
    row = digits_part.same_seed(G, some_inputs(3), part, seeded())
    assert row["at_boundary"] == 1
    assert row["same_seed"] >= part.gans.eps**2 * 0.999  # what is observed stays as attacked
    blind: Any = nn.Linear(16, 48)
    nn.init.zeros_(blind.weight)
    still = digits_part.same_seed(consistent_digit(blind), some_inputs(3), part, seeded())
    assert still["same_seed"] == pytest.approx(part.gans.eps**2, rel=1e-3)
    assert still["robustness"] == pytest.approx(part.gans.ai_psnr, abs=0.01)


def test_the_meter_counts_what_is_alive() -> None:
    with PeakMemory() as memory:
        kept = torch.zeros(1000)
        for _ in range(3):
            _ = torch.ones(500)
        view = kept[:10]
    assert len(view) == 10
    assert memory.peak in (4000 + 2000, 4000 + 4000)  # the next is made before the last is dropped


# -- what is said ------------------------------------------------------------------------------------------------------


def results() -> dict[str, Any]:
    """Made-up results in which every claim holds."""
    row = {
        "robustness": 20.0, "recall": 0.5, "std": 0.1, "w2": 0.16, "w2_same_seed": 0.16, "w2_gelbrich": 0.14,
        "w2_floor": 0.01,
    }  # fmt: skip
    rows = {name: dict(row) for name in (digits_part.DIFFUSION, digits_part.MEAN, digits_part.REGRESSOR, *GANS)}
    for name in GANS:
        rows[name]["robustness"] = 10.0
    for name in (digits_part.MEAN, digits_part.REGRESSOR):
        rows[name]["w2"] = 0.09
    names = (disk_part.DIFFUSION, disk_part.SAMPLER, disk_part.REGRESSOR, disk_part.MEAN)
    disk_rows = dict(zip(names, ({"w2": w2} for w2 in (5.2e-4, 5.1e-4, 1e-5, 0.0)), strict=True))
    memory = [{"steps": 9, "bytes": 8e6, "seconds": 1.0}, {"steps": 9, "bytes": 2e6, "seconds": 1.5}]
    return {
        "digits": {"rows": rows, "memory": memory, "eps": 0.2},
        "disk": {"rows": disk_rows, "eps": 1e-3, "posterior_w2": 5e-4},
    }


def test_findings_follow_the_figures() -> None:
    found = findings(results())
    assert [finding.word for finding in found] == ["exact", *["in direction"] * 6, "exact", "in direction"]
    assert all(finding.verdict == "exact: holds" for finding in found if finding.word == "exact")
    assert found[0].here == "8.0 -> 2.0 MB at 1.50 times the time"
    assert (found[1].effect, found[1].placebo) == (10.0, 0.0)
    assert found[4].effect == pytest.approx(0.5)  # 2 and 1.5 times the attack
    assert found[6].effect == pytest.approx(0.03)  # 0.52 and 0.5, to 10 %


@pytest.mark.parametrize(
    ("which", "part", "name", "key", "value"),
    [
        (1, "digits", GANS[0], "robustness", 21.0), (2, "digits", GANS[1], "robustness", 21.0),
        (3, "digits", digits_part.DIFFUSION, "w2_same_seed", 0.17),
        (4, "digits", digits_part.MEAN, "w2", 0.17), (5, "digits", digits_part.REGRESSOR, "w2", 0.17),
        (6, "disk", disk_part.DIFFUSION, "w2", 5.6e-4), (8, "disk", disk_part.REGRESSOR, "w2", 6e-4),
    ],
)  # fmt: skip
def test_findings_when_a_figure_falls_the_other_way(which: int, part: str, name: str, key: str, value: float) -> None:
    changed = results()
    changed[part]["rows"][name][key] = value
    assert findings(changed)[which].word == "against direction"


def test_a_clock_that_did_not_advance_loses_no_run() -> None:
    still = results()
    still["digits"]["memory"][0]["seconds"] = 0.0
    assert math.isnan(times_as_long(*still["digits"]["memory"]))
    assert findings(still)[0].verdict == "exact: holds"


def test_the_study_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["diffusion", "--preset", "smoke", "--out", str(tmp_path), "--seed", "3"])
    stored = json.loads((tmp_path / "results.json").read_text())
    assert len(stored["digits"]["rows"]) == 7
    for row in stored["digits"]["rows"].values():
        assert row["w2_gelbrich"] <= row["w2"] * (1 + 1e-4)
        assert row["w2"] <= row["w2_same_seed"] * (1 + 1e-4)
    assert stored["digits"]["hidden_noise"]["outputs_equal"]
    assert stored["digits"]["hidden_noise"]["generator_as_before"]
    whole, checkpointed = stored["digits"]["memory"][-2:]
    assert checkpointed["bytes"] < whole["bytes"]
    assert checkpointed["gradient_norm"] == pytest.approx(whole["gradient_norm"], rel=1e-4)
    assert stored["record"]["seed"] == 3
    assert (tmp_path / "figure.png").read_bytes()[:4] == b"\x89PNG"
    table = (tmp_path / "table.md").read_text()
    assert all(finding["claim"] in table for finding in stored["findings"])
    assert table in capsys.readouterr().out
