"""Tasks by name: what is hidden, how it is reduced, and what cannot be a task."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import avg_pool2d, interpolate

from stochrobust.cli.tasks import TASKS, bicubic_kernel, hidden, parse_task


def test_the_papers_mask() -> None:
    D = parse_task("inpainting:top=0.75")(64, 48).D
    assert torch.equal(D(torch.ones(1, 1, 64, 48))[0, 0].bool(), (torch.arange(64)[:, None] >= 48).expand(64, 48))


@pytest.mark.parametrize(
    ("spec", "rows"),
    [
        ("top=0.25", ["####", "....", "....", "...."]),
        ("bottom=0.5", ["....", "....", "####", "####"]),
        ("left=0.25", ["#...", "#...", "#...", "#..."]),
        ("right=0.75", [".###", ".###", ".###", ".###"]),
        ("box=0.5", ["....", ".##.", ".##.", "...."]),
        ("top=0.25,right=0.25", ["####", "...#", "...#", "...#"]),
    ],
)
def test_what_is_hidden(spec: str, rows: list[str]) -> None:
    expected = torch.tensor([[pixel == "." for pixel in row] for row in rows])
    observed = parse_task(f"inpainting:{spec}")(4, 4).D(torch.ones(1, 1, 4, 4))[0, 0]
    assert torch.equal(observed.bool(), expected)


def test_shares_are_of_each_side() -> None:
    assert hidden({"box": 0.5}, 8, 4).nonzero().aminmax(dim=0).max.tolist() == [5, 2]
    assert hidden({"top": 0.3}, 10, 2).sum() == 6
    assert hidden({"left": 0.3}, 2, 10).sum() == 6


def test_block_averages() -> None:
    x = torch.rand(2, 3, 12, 6)
    assert torch.allclose(parse_task("block-average:scale=3")(12, 6).D(x), avg_pool2d(x, 3))


def test_bicubic_is_pytorchs_borders_included() -> None:
    x = torch.rand(2, 3, 24, 12, dtype=torch.float64)
    expected = interpolate(x, (6, 3), mode="bicubic", antialias=True)
    assert torch.allclose(parse_task("bicubic:scale=4")(24, 12).D(x), expected)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_cem_is_bicubic_away_from_the_borders(scale: int) -> None:
    side = 16 * scale
    x = torch.rand(1, 1, side, side, dtype=torch.float64)
    expected = interpolate(x, (16, 16), mode="bicubic", antialias=True)
    found = parse_task(f"cem:scale={scale}")(side, side).D(x)
    assert torch.allclose(found[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2], atol=1e-6)
    assert not torch.allclose(found, expected, atol=1e-6), "periodic, unlike PyTorch"
    assert torch.allclose(bicubic_kernel(scale).sum(), torch.ones((), dtype=torch.float64))


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_every_example_is_a_task_whose_projection_is_consistent(task: object) -> None:
    projector = parse_task(getattr(task, "example"))(16, 16)  # noqa: B009 (of a parameter's type)
    x, other = torch.rand(2, 1, 1, 16, 16, dtype=torch.float64)
    assert torch.allclose(projector.D(projector.project(other, projector.D(x))), projector.D(x), atol=1e-6)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("blur:scale=2", "task must be one of inpainting:top=0.75, block-average:scale=4, .* got 'blur:scale=2'"),
        ("inpainting", "needs top or bottom or left or right or box, such as inpainting:top=0.75"),
        ("inpainting:scale=4", "inpainting takes top, bottom, left, right, box, each once, got 'scale=4'"),
        ("inpainting:top=0.5,top=0.2", "each once, got 'top=0.2'"),
        ("inpainting:top", "top must be a number, got ''"),
        ("inpainting:top=half", "top must be a number, got 'half'"),
        ("inpainting:top=75", "top is the hidden share, between 0 and 1, got 75"),
        ("inpainting:top=0", "between 0 and 1, got 0"),
        ("inpainting:top=nan", "between 0 and 1, got nan"),
        ("block-average:scale=1", "scale must be an integer of at least 2, got 1"),
        ("cem:scale=2.5", "scale must be an integer of at least 2, got 2.5"),
        ("cem:scale=inf", "scale must be an integer of at least 2, got inf"),
        ("bicubic:top=0.5", "bicubic takes scale, each once, got 'top=0.5'"),
    ],
)
def test_what_is_no_task_is_named(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_task(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("inpainting:top=0.01", "inpainting:top=0.01 hides none of the pixels of images of 8 x 9"),
        ("inpainting:top=0.5,bottom=0.5", "hides all of the pixels"),
        ("bicubic:scale=3", "bicubic:scale=3 needs sides divisible by 3, got images of 8 x 9"),
    ],
)
def test_a_task_that_does_not_fit_the_images_is_named(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_task(spec)(8, 9)
