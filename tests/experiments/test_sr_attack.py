"""I-FGSM on super-resolvers whose worst case is known, and the parts of images."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from reference_experiments.data.sr_benchmarks import Pair
from reference_experiments.networks.flow_network import ExplodedInverse
from reference_experiments.networks.srflow import SRFlow
from reference_experiments.psnr_convention import PSNRConvention
from reference_experiments.srflow import attack as attack_module
from reference_experiments.srflow.attack import CONVENTIONS, Attack, measured
from reference_experiments.srflow.bicubic import enlarged
from reference_experiments.srflow.models import Role, Subject
from reference_experiments.srflow.settings import TINY
from reference_experiments.srflow.sharpness import sharpness
from reference_experiments.srflow.tiles import Box, cut_in_the_middle, joined, middle, tiles
from stochrobust import IFGSM, PGD, Linf, SampleKeys, psnr
from tests.drawn_weights import drawn_weights

ALPHA = 8 / 255
QUICK = Attack(steps=2, n_seeds=2)
ROLE: Role = "other"


def nearest(y: Tensor) -> Tensor:
    return y.repeat_interleave(4, -1).repeat_interleave(4, -2)


def grey(height: int = 5, width: int = 6) -> Pair:
    y = torch.full((3, height, width), 0.5)
    return Pair(nearest(y), y)


def subject(G: Any, stochastic: bool = False) -> Subject:
    return Subject(G, "it", ROLE, stochastic, "")


class Seeded:
    """``G(y, z) = function(y, z)`` with z a normal image; counts its calls and their rows."""

    def __init__(self, function: Any) -> None:
        self.function, self.rows, self.seeds = function, list[int](), list[Tensor]()

    def sample_z(self, y: Tensor, generator: torch.Generator | None) -> Tensor:
        return torch.randn(y.shape, generator=generator)

    def __call__(self, y: Tensor, z: Tensor) -> Tensor:
        self.rows.append(len(y))
        self.seeds.append(z)
        x_hat: Tensor = self.function(y, z)
        return x_hat


# -- closed forms ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [1, 8, 32])
@pytest.mark.parametrize("steps", [1, 50])
def test_every_pixel_of_a_nearest_neighbour_model_ends_at_alpha(levels: float, steps: int) -> None:
    """Its gradient has delta's sign: from any start, T steps of alpha / T end on the ball's corner."""
    found = measured(subject(nearest), grey(), levels / 255, Attack(steps=steps), 0)
    expected = -20 * math.log10(levels / 255)
    numbers = [found.numbers[f"rgb:{name}"] for name in ("input", "output", "output_fresh", "truth_attacked")]
    assert numbers == pytest.approx([expected] * 4, abs=1e-3)
    assert found.numbers["rgb:truth_clean"] == math.inf
    assert found.exploded is None


def test_colours_that_are_averaged_move_together_from_where_they_start() -> None:
    """A linear map with a known sign gradient: delta ends at clip(start + alpha sign(sum of the start's colours))."""
    pair, attack, number = grey(), Attack(steps=8, seed=3), 7
    start = Linf(box=(0.0, 1.0)).random_point(
        pair.y[None], torch.tensor([ALPHA]), SampleKeys([number * 10**6], 3), "start 0"
    )
    delta = (start + ALPHA * start.sum(1, keepdim=True).sign()).clamp(-ALPHA, ALPHA)
    found = measured(
        subject(lambda y: nearest(y.mean(1, keepdim=True).expand_as(y))), pair, ALPHA, attack, number
    ).numbers
    moved = nearest(delta.mean(1, keepdim=True).expand_as(delta))
    assert found["rgb:output"] == pytest.approx(psnr(moved, torch.zeros_like(moved)).item(), abs=1e-3)
    assert found["rgb:input"] == pytest.approx(psnr(delta, torch.zeros_like(delta)).item(), abs=1e-3)


def test_away_from_the_truth_from_zero_every_pixel_moves_as_its_error_points() -> None:
    """The reading of the released code: delta = alpha sign(G(y) - x), and the error grows by alpha everywhere."""
    sign = torch.rand(3, 5, 6).sub(0.5).sign()
    pair = grey()
    pair = Pair(nearest(pair.y - 0.1 * sign), pair.y)
    found = measured(subject(nearest), pair, ALPHA, Attack(start="zero", reference="truth"), 0).numbers
    assert found["rgb:truth_clean"] == pytest.approx(20, abs=1e-4)
    assert found["rgb:truth_attacked"] == pytest.approx(-20 * math.log10(0.1 + ALPHA), abs=1e-3)
    assert found["rgb:output"] == pytest.approx(-20 * math.log10(ALPHA), abs=1e-3)
    own = measured(subject(nearest), pair, ALPHA, Attack(), 0).numbers
    assert own["rgb:truth_attacked"] > found["rgb:truth_attacked"] + 0.3  # as often nearer to the truth as farther


def test_the_attacked_input_is_an_image() -> None:
    pair = Pair(torch.ones(3, 20, 24), torch.ones(3, 5, 6))
    found = measured(subject(nearest), pair, ALPHA, QUICK, 0).numbers
    assert found["rgb:output"] > -20 * math.log10(ALPHA) - 1e-3
    seen: list[Tensor] = []

    def G(y: Tensor) -> Tensor:
        seen.append(y.detach())
        return nearest(y)

    measured(subject(G), pair, 32 / 255, QUICK, 0)
    assert max(float(y.max()) for y in seen) <= 1


# -- stochastic models -------------------------------------------------------------------------------------------------


def test_a_stochastic_model_is_compared_with_itself_at_the_same_seed() -> None:
    G = Seeded(lambda y, z: nearest(y + z))
    found = measured(subject(G, True), grey(), ALPHA, Attack(steps=4, n_seeds=3), 0).numbers
    expected = -20 * math.log10(ALPHA)  # other seeds would be 0 dB apart
    assert [found["rgb:output"], found["rgb:output_fresh"]] == pytest.approx([expected] * 2, abs=1e-2)
    assert len({z.flatten()[0].item() for z in G.seeds if len(z) == 3}) == 2  # of the attack, and fresh ones


def test_noise_inside_a_model_is_replayed() -> None:
    hidden = subject(lambda y: nearest(y + torch.randn_like(y)), True)
    found = measured(hidden, grey(), ALPHA, Attack(steps=4, n_seeds=2), 0).numbers
    expected = -20 * math.log10(ALPHA)
    assert [found["rgb:output"], found["rgb:output_fresh"]] == pytest.approx([expected] * 2, abs=1e-2)


def test_fresh_seeds_did_not_choose_the_attack() -> None:
    """Each seed opens one pixel in eight: an attack on one seed is wasted on another."""
    G = Seeded(lambda y, z: nearest(y * (z > 1)))
    found = measured(subject(G, True), grey(8, 8), ALPHA, Attack(steps=4, n_seeds=1), 0).numbers
    assert found["rgb:output"] < found["rgb:output_fresh"]


def test_a_deterministic_model_needs_one_seed_and_a_stochastic_one_all() -> None:
    rows: list[int] = []

    def G(y: Tensor) -> Tensor:
        rows.append(len(y))
        return nearest(y)

    measured(subject(G), grey(), ALPHA, Attack(steps=2, n_seeds=5), 0)
    assert set(rows) == {1}
    seeded = Seeded(lambda y, z: nearest(y + z))
    measured(subject(seeded, True), grey(), ALPHA, Attack(steps=2, n_seeds=5), 0)
    assert set(seeded.rows) == {5}


def test_no_call_gets_more_rows_than_allowed_and_the_numbers_are_the_same() -> None:
    found = []
    for max_batch in (None, 2, 1):
        G = Seeded(lambda y, z: nearest(y * (1 + 0.3 * z)).sin())
        found.append(measured(subject(G, True), grey(), ALPHA, Attack(steps=3, n_seeds=3), 0, max_batch).numbers)
        assert max(G.rows) == (max_batch or 3)
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-4)


def test_the_attacked_input_is_the_one_whose_outputs_are_kept() -> None:
    pair = Pair(*(image.repeat(1, 1, 2) for image in grey()))
    found = attack_module.attacked(subject(nearest), pair, ALPHA, QUICK, SampleKeys([0], 0), None, [])
    for y, outputs in ((found.y, (found.clean, found.fresh_clean)), (found.y_attacked, found[3::2])):
        for x_hat in outputs:
            torch.testing.assert_close(x_hat, nearest(y))
    assert found.y_attacked.sub(found.y).abs().max() > 0.9 * ALPHA


# -- numbers -----------------------------------------------------------------------------------------------------------


def test_numbers_are_those_of_the_outputs_in_every_convention(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = cut_in_the_middle(Pair(torch.rand(3, 36, 40), torch.rand(3, 9, 10)), 0)
    kept: list[Any] = []
    numbers_of = attack_module.numbers_of

    def watched(found: Any, x: Tensor) -> Any:
        kept.append(found)
        return numbers_of(found, x)

    monkeypatch.setattr(attack_module, "numbers_of", watched)
    G = Seeded(lambda y, z: nearest(y * (1 + 0.3 * z)).sin())
    numbers = measured(subject(G, True), pair, ALPHA, QUICK, 0).numbers
    (it,), x = kept, pair.x[None]
    rows = x.expand(2, -1, -1, -1)
    of_input = {"rgb": PSNRConvention(), "y": PSNRConvention("y", 1, "round"), "srflow": CONVENTIONS["srflow"]}
    for name, convention in CONVENTIONS.items():
        expected = {
            "input": of_input[name](it.y, it.y_attacked),
            "output": convention(it.clean, it.attacked),
            "output_fresh": convention(it.fresh_clean, it.fresh_attacked),
            "truth_clean": convention(it.clean, rows),
            "truth_attacked": convention(it.attacked, rows),
        }
        for what, value in expected.items():
            assert numbers[f"{name}:{what}"] == pytest.approx(value.mean().item())
    assert numbers["sharpness_clean"] == pytest.approx(sharpness(it.clean, rows).mean().item())
    assert numbers["sharpness_attacked"] == pytest.approx(sharpness(it.attacked, rows).mean().item())
    assert len(set(numbers.values())) == len(numbers) == 17
    assert set(numbers) == {
        *(f"{c}:{n}" for c in CONVENTIONS for n in expected),
        "sharpness_clean",
        "sharpness_attacked",
    }


def test_the_attack_is_the_librarys() -> None:
    assert Attack().method == IFGSM
    assert Attack(steps=10, start="zero", reference="truth").method == PGD(10, 1 / 10, keep="last", start="zero")
    assert (Attack().n_seeds, Attack().start, Attack().reference) == (10, "uniform", "clean")


CHANGED: list[dict[str, Any]] = [
    {"steps": 20}, {"n_seeds": 3}, {"reference": "truth"}, {"start": "zero", "reference": "truth"}, {"crop": 8},
    {"tile": 6}, {"seed": 1},
]  # fmt: skip


def test_every_setting_matters() -> None:
    y = torch.rand(3, 9, 10)
    pair = Pair(enlarged(y) + 0.1 * torch.randn(3, 36, 40), y)

    def output(**changed: Any) -> float:
        G = Seeded(lambda y, z: (4 * enlarged(y * (1 + 0.3 * z))).sin())
        return measured(subject(G, True), pair, ALPHA, replace(QUICK, **changed), 0).numbers["rgb:output"]

    found = [output(), *(output(**changed) for changed in CHANGED)]
    assert len(set(found)) == len(found)
    assert output() == found[0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"start": "zero"}, 'start must be "uniform" for the reference "clean"'),
        ({"start": "ball"}, 'start must be "uniform" or "zero", got \'ball\''),
        ({"reference": "own"}, 'reference must be "clean" or "truth", got \'own\''),
        ({"crop": 3}, "crop must be 0 or at least 4, got 3"),
        ({"tile": -1}, "tile must be 0 or at least 4, got -1"),
        ({"n_seeds": 0}, "n_seeds must be at least 1, got 0"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
    ],
)
def test_impossible_settings_are_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Attack(**wrong)


# -- models that fail --------------------------------------------------------------------------------------------------


def test_an_exploding_inverse_is_recorded() -> None:
    def G(y: Tensor) -> Tensor:
        if float((y.detach() - 0.5).abs().max()) > 0.9 * ALPHA:
            raise ExplodedInverse("in layers.3")
        return nearest(y)

    found = measured(subject(G), grey(), ALPHA, Attack(), 0)
    assert (found.numbers, found.exploded) == ({}, "in layers.3")
    assert measured(subject(G), grey(), ALPHA / 2, QUICK, 0).exploded is None


def test_infinite_outputs_and_gradients_are_explosions_and_other_mistakes_are_not() -> None:
    found = measured(subject(lambda y: nearest(y / (y - y.detach()))), grey(), ALPHA, QUICK, 0)
    assert str(found.exploded).startswith("G's output at y must be finite")
    found = measured(subject(lambda y: nearest(y + (y - y.detach()).abs().sqrt())), grey(), ALPHA, QUICK, 0)
    assert str(found.exploded).startswith("the gradient of G at step 0 of the attack must be finite")

    def broken(y: Tensor) -> Tensor:
        raise ValueError("eps must be finite")

    with pytest.raises(ValueError, match="eps must be finite"):
        measured(subject(broken), grey(), ALPHA, QUICK, 0)


def test_the_librarys_doubts_are_kept() -> None:
    found = measured(subject(lambda y: nearest(torch.full_like(y, 0.5))), grey(), ALPHA, QUICK, 0)
    assert any("ignores its input" in concern for concern in found.concerns)
    assert found.numbers["rgb:output"] == math.inf


# -- parts of images ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(11, 13), (4, 4), (3, 17), (8, 12)])
@pytest.mark.parametrize("largest", [0, 4, 5, 100])
def test_tiles_cover_an_image_once(size: tuple[int, int], largest: int) -> None:
    count = torch.zeros(size)
    boxes = tiles(*size, largest)
    for box in boxes:
        count[box.top : box.bottom, box.left : box.right] += 1
        assert max(box.bottom - box.top, box.right - box.left) <= (largest or 100)
    assert bool((count == 1).all())
    heights = {box.bottom - box.top for box in boxes}
    assert max(heights) - min(heights) <= 1
    image = torch.rand(2, 3, 4 * size[0], 4 * size[1])
    parts = [image[..., 4 * b.top : 4 * b.bottom, 4 * b.left : 4 * b.right] for b in boxes]
    assert torch.equal(joined(parts, boxes, 4), image)


def test_the_middle_of_an_image() -> None:
    assert middle(11, 6, 4) == Box(3, 7, 1, 5)
    assert middle(6, 11, 4) == Box(1, 5, 3, 7)
    assert middle(11, 6, 8) == Box(1, 9, 0, 6)  # narrower than the square
    assert middle(11, 6, 0) == Box(0, 11, 0, 6)
    y = torch.rand(3, 11, 6)
    x, small = cut_in_the_middle(Pair(nearest(y), y), 4)
    assert torch.equal(small, y[:, 3:7, 1:5])
    assert torch.equal(x, nearest(small))


def test_tiles_are_attacked_alone_and_joined() -> None:
    sizes: list[tuple[int, ...]] = []

    def G(y: Tensor) -> Tensor:
        sizes.append(tuple(y.shape[2:]))
        return nearest(y)

    pair = grey(11, 13)
    whole = measured(subject(nearest), pair, ALPHA, QUICK, 0)
    tiled = measured(subject(G), pair, ALPHA, replace(QUICK, tile=6), 0)
    assert (whole.tiles, tiled.tiles) == (1, 6)
    assert set(sizes) == {(5, 4), (5, 5), (6, 4), (6, 5)}
    assert tiled.numbers["rgb:output"] == pytest.approx(whole.numbers["rgb:output"], abs=1e-3)
    larger = measured(subject(nearest), pair, ALPHA, replace(QUICK, tile=20), 0)
    assert larger == whole


def test_tiles_have_seeds_of_their_own() -> None:
    G = Seeded(lambda y, z: nearest(y + z))
    measured(subject(G, True), grey(8, 8), ALPHA, replace(QUICK, tile=4), 0)
    assert len({z.flatten()[0].item() for z in G.seeds if len(z) == 2}) == 4 * 2  # of the attack, and fresh ones


def test_a_flow_is_attacked_on_tiles_of_odd_sizes() -> None:
    G = SRFlow(TINY, heat=0.5).eval()
    G.load_state_dict(drawn_weights(G.state_dict(), 0))  # a fresh flow does not look at y
    found = measured(subject(G, True), grey(5, 7), ALPHA, replace(QUICK, tile=4), 0)
    assert found.exploded is None
    assert math.isfinite(found.numbers["rgb:output"])
    assert found.tiles == 4


def test_an_attack_encodes_the_input_of_a_flow_once_for_all_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """And its numbers are those of a model that encodes every row."""
    G = SRFlow(TINY, heat=0.5).double().eval()
    G.load_state_dict(drawn_weights(G.state_dict(), 0))
    pair = Pair(*(image.double() for image in cut_in_the_middle(grey(6, 6), 0)))
    encoded: list[int] = []
    G.RRDB.conv_first.register_forward_hook(lambda module, given, out: encoded.append(len(out)))
    found = measured(subject(G, True), pair, ALPHA, Attack(steps=3, n_seeds=3), 0)
    assert set(encoded) == {1}
    encoded.clear()
    monkeypatch.setattr(Subject, "of_one_input", property(lambda it: it.G))
    apart = measured(subject(G, True), pair, ALPHA, Attack(steps=3, n_seeds=3), 0)
    assert apart.numbers == pytest.approx(found.numbers, rel=1e-6)
    assert set(encoded) == {3}
