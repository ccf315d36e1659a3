"""Figures 1 and 3: what they show, and that they are written in both forms."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from reference_experiments.arms import ARMS
from reference_experiments.images.figures import at, brightest, figure1, figure3
from reference_experiments.images.measuring import Measuring
from reference_experiments.images.pictures import N_SHOWN, UNKNOWN, pictures, shown
from reference_experiments.images.restorer import Restorer
from reference_experiments.images.settings import Training
from reference_experiments.images.tasks import TaskName
from stochrobust import psnr
from tests.experiments.test_image_findings import factors_of

MEASURING = Measuring(n_real=10, n_samples=6, n_attacked=2, n_seeds=2, extractor="pixels", batch=3)
SIZE = 16


def model(task: TaskName = "inpainting", *, stochastic: bool = True, channels: int = 3) -> Restorer:
    training = Training(task, SIZE, channels, stochastic=stochastic, s=2, f=2)
    torch.manual_seed(0)
    G = training.estimator().eval()
    eps = training.restoration.eps
    return Restorer.of(G, G.projector, eps, stochastic=stochastic, description={})  # type: ignore[arg-type]


def images(channels: int = 3) -> Tensor:
    return torch.rand(2, channels, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def test_the_pictures_of_a_model_are_its_outputs_and_those_at_an_attack_of_the_given_size() -> None:
    restorer, x = model(), images()
    found = pictures(restorer, x, [3, 4], MEASURING)
    y = restorer.projector.D(x)
    with torch.no_grad():
        outputs = [restorer.outputs(y, restorer.seeds(y, [3, 4], 0, 1, s), 9) for s in range(MEASURING.n_samples)]
    torch.testing.assert_close(found.samples, torch.stack(outputs[:N_SHOWN]).clamp(0, 1))
    torch.testing.assert_close(found.std, torch.stack(outputs).std(0).mean(1))
    torch.testing.assert_close(found.attacked[:, :, 12:], (y + 0)[:, :, 12:].clamp(0, 1), atol=0.2, rtol=0)
    assert not torch.equal(found.attacked, found.samples[0])
    near = (found.attacked - found.samples[0]).square().mean((1, 2, 3))
    torch.testing.assert_close(found.decibels, -10 * near.log10(), atol=1.5, rtol=0)  # but for the clamping


def test_the_settings_of_pictures_matter() -> None:
    restorer, x = model(), images()
    found = pictures(restorer, x, [3, 4], MEASURING)
    assert not torch.equal(found.std, pictures(restorer, x, [3, 4], replace(MEASURING, n_samples=7)).std)
    assert not torch.equal(found.samples, pictures(restorer, x, [3, 4], replace(MEASURING, seed=1)).samples)
    assert not torch.equal(found.attacked, pictures(restorer, x, [3, 4], replace(MEASURING, n_seeds=3)).attacked)
    torch.testing.assert_close(found.attacked, pictures(restorer, x, [3, 4], replace(MEASURING, batch=9)).attacked)


def test_a_deterministic_model_shows_one_output_again_and_again() -> None:
    found = pictures(model(stochastic=False), images(), [0, 1], MEASURING)
    assert all(torch.equal(found.samples[0], sample) for sample in found.samples)
    assert not found.std.any()
    assert torch.isfinite(found.decibels).all()


def test_inputs_are_enlarged_and_what_is_not_observed_is_blue() -> None:
    masked, x = model(channels=1), images(1)
    picture = shown(masked, masked.projector.D(x), SIZE)
    assert picture.shape == (2, 3, SIZE, SIZE)
    torch.testing.assert_close(picture[0, :, 0, 0], torch.tensor(UNKNOWN))
    assert torch.equal(picture[0, :, 15, 3], x[0, 0, 15, 3].expand(3))
    small = model("sr4")
    y = small.projector.D(images())
    assert torch.equal(shown(small, y, SIZE), y.repeat_interleave(4, 2).repeat_interleave(4, 3))


def test_the_psnr_is_that_of_the_outputs_before_they_are_clamped() -> None:
    restorer, x = model(), images()
    G = restorer.G
    wide = replace(restorer, G=lambda y, z: 20 * G(y, z))
    object.__setattr__(wide.G, "sample_z", G.sample_z)  # type: ignore[attr-defined]
    found = pictures(wide, x, [0, 1], MEASURING)
    assert (found.decibels < psnr(found.attacked, found.samples[0]) - 3).all()


@pytest.mark.parametrize(("task", "channels"), [("inpainting", 3), ("sr4", 1)])
def test_figure_1_is_written_as_picture_and_as_drawing(tmp_path: Path, task: TaskName, channels: int) -> None:
    models = {arm: model(task, stochastic=arm.stochastic, channels=channels) for arm in ARMS[1:3]}
    figure1(tmp_path / "figure1", models, images(channels)[:1], [0], MEASURING)
    assert (tmp_path / "figure1.png").read_bytes().startswith(b"\x89PNG")
    first = (tmp_path / "figure1.pdf").read_bytes()
    assert first.startswith(b"%PDF")
    figure1(tmp_path / "figure1", models, images(channels)[:1], [0], MEASURING)
    assert (tmp_path / "figure1.pdf").read_bytes() == first
    assert len(list(tmp_path.iterdir())) == 2


def test_the_brightest_std_is_that_of_all_models() -> None:
    found = {arm: pictures(model(stochastic=arm.stochastic), images(), [0, 1], MEASURING) for arm in ARMS[1:3]}
    values = found[ARMS[1]].std
    assert 0.5 * float(values.max()) < brightest(found) <= float(values.max())
    assert brightest({ARMS[2]: found[ARMS[2]]}) == 0.01
    of_second = at(found[ARMS[1]], 1)
    assert len(of_second) == N_SHOWN + 4
    assert of_second[-1] == float(found[ARMS[1]].decibels[1])


def test_figure_3_shows_every_factor_and_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    drawn = []
    errorbar = Axes.errorbar

    def watched(self: Axes, x: list[float], y: list[float], error: list[float], **style: object) -> object:
        drawn.append((y, error, style["label"]))
        return errorbar(self, x, y, error, **style)  # type: ignore[arg-type]

    monkeypatch.setattr(Axes, "errorbar", watched)
    figure3(tmp_path / "figure3", factors_of(0.1))
    assert {path.name for path in tmp_path.iterdir()} == {"figure3.png", "figure3.pdf"}
    assert len(drawn) == 6 * 4
    y, error, label = drawn[3]
    assert (y, label) == ([16, 24, 40], "deterministic, robust")
    assert error == pytest.approx([1.6, 2.4, 4.0])


def test_the_output_under_attack_has_the_seed_of_the_first_sample() -> None:
    restorer = replace(model(), eps=1e-6)
    found = pictures(restorer, images(), [0, 1], MEASURING)
    torch.testing.assert_close(found.attacked, found.samples[0], atol=1e-4, rtol=0)
    assert float((found.samples[0] - found.samples[1]).abs().max()) > 1e-3
