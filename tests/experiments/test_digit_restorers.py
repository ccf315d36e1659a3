"""The demo's models as files and factories: what is written comes back, and what is stored is what is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from reference_experiments.arms import ARMS, Arm
from reference_experiments.digits import restorers
from reference_experiments.digits.data import load_digits, observed, validation_images
from reference_experiments.digits.evaluation import raw_pixel_frechet, std_map
from reference_experiments.digits.restorers import MODELS, DigitRestorer, load_restorer, save_weights
from reference_experiments.digits.training import DigitTraining, build_estimator, restore

pytest.importorskip("sklearn")
pytest.importorskip("safetensors")
TINY = DigitTraining(steps=2, width=16)
STOCHASTIC, DETERMINISTIC = ARMS[0], ARMS[2]


def masked_images(n: int) -> torch.Tensor:
    return validation_images()[:n].where(observed().view(8, 8), 0)


def test_the_images_are_the_validation_digits_row_by_row() -> None:
    images = validation_images()
    assert images.shape == (500, 1, 8, 8)
    assert torch.equal(images.flatten(1), load_digits().validation)


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.name)
def test_a_model_comes_back_as_it_was_with_the_size_it_was_trained_in(arm: Arm, tmp_path: Path) -> None:
    G = build_estimator(TINY, arm)
    save_weights(tmp_path, arm, G.state_dict(), TINY)
    found = load_restorer(arm, tmp_path)
    assert not found.training
    assert hasattr(found, "sample_z") is arm.stochastic
    z = (found.sample_z(masked_images(4), None),) if arm.stochastic else ()
    output = found(masked_images(4), *z)
    assert output.shape == (4, 1, 8, 8)
    assert torch.equal(output.flatten(1), G(masked_images(4).flatten(1), *z))
    assert torch.equal(output[..., 6:, :], masked_images(4)[..., 6:, :])


def test_a_file_that_is_missing_or_of_another_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="python -m reference_experiments demo"):
        load_restorer(STOCHASTIC, tmp_path)
    save_weights(tmp_path, STOCHASTIC, {"G.projections": torch.zeros(64, 64)}, TINY)
    with pytest.raises(ValueError, match=r"stochastic-erratic.*is missing"):
        load_restorer(STOCHASTIC, tmp_path)


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.name)
def test_the_stored_models_are_those_of_the_stored_numbers(arm: Arm) -> None:
    told = json.loads((MODELS.parent / "results.json").read_text())["arms"][arm.name]
    factory = getattr(restorers, arm.folder.replace("-", "_"))
    found = factory()
    assert isinstance(found, DigitRestorer)
    generator = torch.Generator().manual_seed(0)
    x = load_digits().validation
    y = x.where(observed(), 0)
    spread = float(std_map(found.G, y[:200], 32, generator).compute().mean())
    assert spread == pytest.approx(told["std"]["mean"], rel=0.1, abs=1e-9)
    with torch.no_grad():
        distance = raw_pixel_frechet(real=x, generated=restore(found.G, y, generator))
    assert distance == pytest.approx(told["frechet"]["mean"], rel=0.15)
