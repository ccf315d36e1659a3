"""Bicubic resizing, sharpness, and the images that SRFlow is trained on."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from reference_experiments.data.arrays import write_set
from reference_experiments.data.batches import Batches
from reference_experiments.data.images64 import FOLDER_VARIABLE, data_folder
from reference_experiments.data.sr_benchmarks import sr_pairs
from reference_experiments.srflow.bicubic import Bicubic, as_input, cubic, degradation, enlarged, resized, resizing
from reference_experiments.srflow.images import streams, training_pair, validation_pair
from reference_experiments.srflow.settings import TINY, FlowTraining
from reference_experiments.srflow.sharpness import gradient_energy, sharpness

TWO = replace(TINY, levels=2)


def ramp(n: int) -> Tensor:
    return torch.arange(n, dtype=torch.float64)


# -- resizing ----------------------------------------------------------------------------------------------------------


def test_the_cubic_kernel_at_points_worked_out_by_hand() -> None:
    found = cubic(torch.tensor([0.0, 0.5, -0.5, 1.0, 1.5, -1.5, 2.0, 3.0], dtype=torch.float64))
    assert found.tolist() == pytest.approx([1, 9 / 16, 9 / 16, 0, -1 / 16, -1 / 16, 0, 0], abs=1e-15)


@pytest.mark.parametrize(("n_in", "n_out"), [(64, 16), (7, 28), (12, 3), (11, 11)])
def test_constants_stay_and_ramps_stay_ramps_away_from_the_ends(n_in: int, n_out: int) -> None:
    matrix = resizing(n_in, n_out)
    assert matrix.shape == (n_out, n_in)
    torch.testing.assert_close(matrix.sum(1), torch.ones(n_out, dtype=torch.float64))
    margin = math.ceil(2 * max(1, n_out / n_in)) + 1
    inside = slice(margin, n_out - margin)
    centres = (ramp(n_out) + 0.5) * n_in / n_out - 0.5
    torch.testing.assert_close((matrix @ ramp(n_in))[inside], centres[inside])


def test_at_the_ends_the_outermost_pixels_go_on() -> None:
    x = torch.rand(16, dtype=torch.float64)
    longer = torch.cat([x[:1].expand(16), x, x[-1:].expand(16)])
    torch.testing.assert_close(resizing(16, 4) @ x, (resizing(48, 12) @ longer)[4:8])
    torch.testing.assert_close(resizing(16, 64) @ x, (resizing(48, 192) @ longer)[64:128])


def test_a_reduction_weighs_by_the_widened_kernel() -> None:
    taps = cubic((ramp(16) - 7.5) / 4) / 4  # centred between the pixels 7 and 8 of 16
    weights = resizing(64, 16)[7]  # whose centre is between the pixels 29 and 30
    torch.testing.assert_close(weights[22:38], taps / taps.sum())
    assert float(weights.sum() - weights[22:38].sum()) == 0


def test_height_and_width_are_told_apart() -> None:
    x = torch.rand(2, 3, 8, 12)
    expected = resizing(8, 2).float() @ x @ resizing(12, 6).float().T
    torch.testing.assert_close(resized(x, 2, 6), expected)
    assert enlarged(x).shape == (2, 3, 32, 48)
    assert torch.equal(Bicubic()(x), enlarged(x))


def test_an_input_has_8_bits_and_is_rounded_between_the_dimensions() -> None:
    x = torch.rand(1, 3, 16, 20, dtype=torch.float64)
    first = (255 * (resizing(16, 4) @ x)).clamp(0, 255).round()
    both = (first @ resizing(20, 5).T).clamp(0, 255).round()
    torch.testing.assert_close(255 * as_input(x), both)


def test_an_edge_does_not_overshoot_the_8_bits() -> None:
    x = (torch.arange(24) >= 13).double().expand(1, 3, 24, 24)
    for edge in (x, x.mT):
        assert resized(edge, 6, 6).max() > 1.01
        y = as_input(edge)
        assert (y.min().item(), y.max().item()) == (0, 1)


def test_the_degradation_is_the_same_reduction_without_rounding() -> None:
    x = torch.rand(1, 3, 16, 20, dtype=torch.float64)
    torch.testing.assert_close(degradation(16, 20).D(x), resized(x, 4, 5))


@pytest.mark.skipif(FOLDER_VARIABLE not in os.environ, reason=f"needs images: set {FOLDER_VARIABLE}")
@pytest.mark.parametrize("benchmark", ["Set5", pytest.param("Set14", marks=pytest.mark.slow)])
def test_inputs_are_those_of_the_benchmarks(benchmark: str) -> None:
    pytest.importorskip("PIL.Image")
    for x, y in sr_pairs(data_folder(), benchmark):
        levels = (255 * (as_input(x) - y)).abs().round()
        assert float(levels.max()) <= 1
        assert float((levels > 0).float().mean()) < 1e-3


# -- sharpness ---------------------------------------------------------------------------------------------------------


def test_gradient_energy_of_a_slope_and_of_a_chequerboard() -> None:
    slope = (0.1 * torch.arange(5.0) + 0.2 * torch.arange(4.0)[:, None]).expand(2, 3, 4, 5)
    torch.testing.assert_close(gradient_energy(slope), torch.full((2,), 0.1**2 + 0.2**2))
    board = ((torch.arange(4)[:, None] + torch.arange(6)) % 2).float().expand(1, 1, 4, 6)
    assert gradient_energy(board).item() == 2


def test_sharpness_is_relative_to_the_source() -> None:
    x = torch.rand(3, 3, 8, 8)
    x_hat = torch.stack([x[0], 0.5 * x[1], 2 * x[2] + 1])
    torch.testing.assert_close(sharpness(x_hat, x), torch.tensor([1.0, 0.25, 4.0]))
    flat = torch.zeros(2, 3, 8, 8)
    assert sharpness(torch.cat([flat[:1], x[:1]]), flat).tolist() == [1, math.inf]
    assert sharpness(torch.full_like(x, 0.5), x).tolist() == [0, 0, 0]


# -- training images ---------------------------------------------------------------------------------------------------


def prepared(folder: Path, name: str, side: int = 16, offset: int = 0) -> Path:
    """Six random colour images, and six others for validation."""
    pixels = np.random.default_rng(offset).integers(0, 256, (12, 3, side, side), dtype=np.uint8)
    parts = {"train": (6, iter(pixels[:6])), "validation": (6, iter(pixels[6:]))}
    write_set(folder / name, name, parts, {})  # type: ignore[arg-type]
    return folder / name


def test_every_set_has_its_share_of_a_batch(tmp_path: Path) -> None:
    data = [prepared(tmp_path, name, offset=i) for i, name in enumerate("ab")]
    sets = streams(data, "train", 4, seed=3)
    assert [of_set.size for of_set in sets] == [2, 2]
    settings = FlowTraining(TINY, batch=4, crop=0, flip=False)
    x, y = training_pair(sets, settings, 0, "cpu")
    assert torch.equal((255 * x[:2]).round().byte(), sets[0].batch(0))
    assert torch.equal((255 * x[2:]).round().byte(), sets[1].batch(0))
    assert torch.equal(y, as_input(x))
    other = streams(data, "train", 4, seed=4)[0]
    assert not torch.equal(other.batch(0), sets[0].batch(0))
    twice = [of_set.batch(0) for seed in (3, 4) for of_set in streams([data[0]] * 2, "train", 12, seed)]
    assert not any(torch.equal(a, b) for a, b in combinations(twice, 2))
    with pytest.raises(ValueError, match="batch must be a multiple of the number of sets, 2, got 3"):
        streams(data, "train", 3, 0)


def test_training_images_are_cut_and_mirrored_at_random_places_that_the_step_decides() -> None:
    image = torch.arange(64, dtype=torch.uint8).view(1, 1, 8, 8).expand(1, 3, 8, 8).numpy()
    sets = [Batches(image, 8, 0)]
    settings = FlowTraining(TWO, batch=8, crop=4)
    pairs = [training_pair(sets, settings, step, "cpu") for step in (0, 1, 0)]
    assert torch.equal(pairs[0].x, pairs[2].x)
    assert not torch.equal(pairs[0].x, pairs[1].x)
    corners, mirrored = set(), set()
    for step in range(24):
        for square in (255 * training_pair(sets, settings, step, "cpu").x[:, 0]).round():
            rising = bool(square[0, 1] > square[0, 0])
            mirrored.add(rising)
            corners.add(int(square[0].min()))
            ordered = square if rising else square.flip(-1)
            expected = ordered[0, 0] + 8 * torch.arange(4.0)[:, None] + torch.arange(4.0)
            assert torch.equal(ordered, expected)
    assert mirrored == {True, False}
    assert corners == {8 * row + column for row in range(5) for column in range(5)}  # the last row and column too
    other = training_pair(sets, FlowTraining(TWO, batch=8, crop=4, seed=1), 0, "cpu")
    assert not torch.equal(other.x, pairs[0].x)


def test_validation_images_are_cut_in_their_middle(tmp_path: Path) -> None:
    data = [prepared(tmp_path, "a")]
    settings = FlowTraining(TINY, crop=8)
    x, y = validation_pair(data, settings, 3, "cpu")
    whole = streams(data, "validation", 3, 0)[0].batch(0)
    assert torch.equal((255 * x).round().byte(), whole[..., 4:12, 4:12])
    assert torch.equal(y, as_input(x))
    with pytest.raises(ValueError, match="crop must be at most the side of every image, got 160 for an image of side"):
        validation_pair(data, FlowTraining(TINY), 3, "cpu")


def test_grey_images_become_colour_images() -> None:
    sets = [Batches(np.full((1, 1, 8, 8), 51, np.uint8), 2, 0)]
    x, y = training_pair(sets, FlowTraining(TINY, batch=2, crop=0), 0, "cpu")
    torch.testing.assert_close(x, torch.full((2, 3, 8, 8), 0.2))
    torch.testing.assert_close(y, torch.full((2, 3, 2, 2), 0.2))
