"""The suite on which attacks are compared: every problem is built by a training of a few steps, and can be attacked."""

from __future__ import annotations

import io
import os
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from benchmarks.attacks import networks
from benchmarks.attacks.networks import SOURCES, SUITE, Problem, Settings, left_out, problems
from benchmarks.attacks.training import (
    InpaintingTraining,
    SuperResolutionTraining,
    bottom_quarter,
    cached,
    inpainter,
    super_resolver,
    train_inpainter,
    train_super_resolver,
)
from reference_experiments.data.images64 import FOLDER_VARIABLE, data_folder, images64
from stochrobust import PAPER, BlockAverageProjector, robustness_loss, sensitivity

INPAINTING = InpaintingTraining(steps=1, batch=2, s=2, n_images=4)
SUPER_RESOLUTION = SuperResolutionTraining(steps=2, batch=2, s=4, n_images=4)
TINY = Settings(
    toy=replace(SUITE.toy, steps=2, width=4, batch=4, n_train=10),
    toy_weight=1e-3,
    digits=replace(SUITE.digits, steps=3, width=8, n_seeds=2),
    inpainting=INPAINTING,
    robust_inpainting=replace(INPAINTING, robust_steps=1, every=1),
    super_resolution=SUPER_RESOLUTION,
)
WITHOUT_DATA = ["toy", "toy-robust", "digits-deterministic", "digits-stochastic", "digits-robust"]
OF_IMAGES = ["faces-unet", "faces-unet-train-mode", "faces-unet-robust", "natural-unet-x4"]

PARTS: tuple[Literal["train"], Literal["val"]] = ("train", "val")


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with both archives of 64 x 64 images, random and smooth, and nothing else."""
    image = pytest.importorskip("PIL.Image")
    folder, generator = tmp_path_factory.mktemp("data"), torch.Generator().manual_seed(0)
    for name in ("faces64", "natural64"):
        (folder / name).mkdir()
        with zipfile.ZipFile(folder / name / f"{name}.zip", "w") as file:
            for entry in [f"{part}/{i}.jpg" for part in PARTS for i in range(8)]:
                blocks = torch.randint(256, (8, 8, 3), generator=generator).byte().numpy()
                content = io.BytesIO()
                image.fromarray(blocks).resize((64, 64), resample=2).save(content, "PNG")
                file.writestr(entry, content.getvalue())
    return folder


@pytest.fixture(scope="module")
def built(archives: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Problem]:
    """All problems but that of CARN-M."""
    pytest.importorskip("sklearn")
    return {problem.name: problem for problem in problems(archives, tmp_path_factory.mktemp("cache"), TINY)}


def check(problem: Problem) -> None:
    """That a problem is what its fields say, and can be attacked."""
    G: Any = problem.G
    stochastic = callable(getattr(G, "sample_z", None))
    assert stochastic == (problem.n_seeds > 1)
    assert isinstance(G, nn.Module)
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in G.modules()) == problem.batch_norm
    assert all(layer.training == problem.train_mode for layer in G.modules())
    assert coupled(problem) == problem.train_mode
    for eps in problem.eps:
        loss = robustness_loss(problem.G, problem.y, eps, problem.n_seeds, attack=replace(PAPER, steps=1))
        assert loss > 0
    loss.backward()
    assert any(p.grad is not None and bool((p.grad != 0).any()) for p in G.parameters())
    assert problem.what


def coupled(problem: Problem) -> bool:
    """Whether the last input's output depends on the first input."""
    G: Any = problem.G
    sample_z = getattr(G, "sample_z", None)
    z = () if sample_z is None else (sample_z(problem.y, torch.Generator().manual_seed(0)),)
    other = problem.y.clone()
    other[0] += 0.5
    with torch.no_grad():
        return not torch.allclose(G(problem.y, *z)[-1], G(other, *z)[-1], atol=1e-6)


def test_every_problem_without_weights_of_others_is_built(built: dict[str, Problem]) -> None:
    assert list(built) == WITHOUT_DATA + OF_IMAGES
    assert [*built, "carn-m-x4"] == list(SOURCES)


@pytest.mark.parametrize("name", WITHOUT_DATA + OF_IMAGES)
def test_a_problem_can_be_attacked(built: dict[str, Problem], name: str) -> None:
    check(built[name])


def test_the_radii_span_what_the_suite_is_for(built: dict[str, Problem]) -> None:
    radii = [eps for problem in built.values() for eps in problem.eps]
    assert min(radii) == 1e-3
    assert max(radii) == 2.5
    assert built["faces-unet"].eps == built["faces-unet-train-mode"].eps


def test_inputs_are_degraded_validation_images(built: dict[str, Problem], archives: Path) -> None:
    faces = built["faces-unet"].y
    assert all(torch.equal(built[name].y, faces) for name in OF_IMAGES[:3])
    assert (faces[:, :, :48] == 0).all()
    train, validation = (images64(archives, "faces64", part)[:, :, 48:] for part in PARTS)
    assert all(any(torch.equal(face[:, 48:], x) for x in validation) for face in faces)
    assert not any(torch.equal(face[:, 48:], x) for face in faces for x in train)
    natural = built["natural-unet-x4"]
    assert natural.y.shape == (8, 3, 16, 16)
    torch.testing.assert_close(BlockAverageProjector(4).D(natural.G(natural.y)), natural.y)


def test_trainings_see_the_train_part_only(archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained_on: list[Tensor] = []

    def spy(config: object, images: Tensor) -> nn.Module:
        trained_on.append(images)
        return inpainter(INPAINTING.s) if isinstance(config, InpaintingTraining) else super_resolver(SUPER_RESOLUTION.s)

    monkeypatch.setattr(networks, "train_inpainter", spy)
    monkeypatch.setattr(networks, "train_super_resolver", spy)
    problems(archives, tmp_path, TINY)
    for images, name in zip(trained_on, ("faces64", "faces64", "natural64"), strict=True):
        train = images64(archives, name, "train")
        assert len(images) == 4
        assert all(any(torch.equal(x, other) for other in train) for x in images)


def test_what_is_left_out_is_said(archives: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    found = problems(None, tmp_path, TINY, lines.append)
    assert [problem.name for problem in found] == WITHOUT_DATA
    assert lines[:5] == left_out(None)
    assert lines[0] == "faces-unet: left out, needs faces64 of a data folder"
    assert [line.split(":")[0] for line in lines[5:]] == WITHOUT_DATA
    assert "ready after" in lines[5]
    (line,) = left_out(archives)
    assert line == f"carn-m-x4: left out, needs {archives / 'carn_m'} and {archives / 'sr_benchmarks'}"


# -- the cache ---------------------------------------------------------------------------------------------------------


def test_what_is_in_the_cache_is_not_trained_again(tmp_path: Path) -> None:
    trained = []

    def train() -> nn.Linear:
        trained.append(torch.rand(1))  # a training that draws from the global generator
        return nn.Linear(2, 2)

    def make() -> nn.Linear:
        return nn.Linear(2, 2)

    before = torch.get_rng_state()
    first = cached(tmp_path, "linear", INPAINTING, make, train)
    second = cached(tmp_path, "linear", INPAINTING, make, train)
    assert torch.equal(before, torch.get_rng_state())
    assert len(trained) == 1
    assert torch.equal(first.weight, second.weight)
    assert not second.training
    cached(tmp_path, "linear", replace(INPAINTING, lr=2e-3), make, train)
    cached(tmp_path, "other", INPAINTING, make, train)
    assert len(trained) == 3
    assert len(list(tmp_path.iterdir())) == 3


def test_problems_come_back_from_the_cache_as_they_were(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    first, again = problems(None, tmp_path, TINY), problems(None, tmp_path, TINY)
    elsewhere = problems(None, tmp_path / "elsewhere", TINY)
    assert len([*tmp_path.glob("*.pt")]) == 5
    for problem, *others in zip(first, again, elsewhere, strict=True):
        generators = [torch.Generator().manual_seed(0) for _ in range(3)]
        value, *same = [
            sensitivity(p.G, p.y, p.eps[0], p.n_seeds, attack=PAPER, generator=g).value
            for p, g in zip((problem, *others), generators, strict=True)
        ]
        assert all(torch.equal(value, other) for other in same)


# -- the trainings -----------------------------------------------------------------------------------------------------

ROBUST = InpaintingTraining(steps=1, robust_steps=1, every=2, batch=2, s=2)
CHANGES: list[dict[str, Any]] = [
    {"steps": 2}, {"robust_steps": 2}, {"l1": 2.0}, {"r1": 5.0}, {"weight": 1.0}, {"every": 3}, {"eps": 1.0},
    {"n_seeds": 3}, {"batch": 3}, {"lr": 2e-3}, {"s": 3}, {"seed": 1},
]  # fmt: skip


def images() -> Tensor:
    return torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def parameters(G: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(G.parameters())


def test_each_setting_of_the_inpainting_counts() -> None:
    plain = parameters(train_inpainter(ROBUST, images()))
    assert torch.equal(plain, parameters(train_inpainter(ROBUST, images())))
    for change in CHANGES:
        other = parameters(train_inpainter(replace(ROBUST, **change), images()))
        assert not torch.equal(plain, other), change
    erratic = [train_inpainter(replace(ROBUST, robust_steps=0, every=1, weight=w), images()) for w in (1.0, 500.0)]
    assert torch.equal(parameters(erratic[0]), parameters(erratic[1]))


def test_each_setting_of_the_super_resolution_counts() -> None:
    plain = parameters(train_super_resolver(SUPER_RESOLUTION, images()))
    assert torch.equal(plain, parameters(train_super_resolver(SUPER_RESOLUTION, images())))
    changes: list[dict[str, Any]] = [{"steps": 3}, {"batch": 3}, {"lr": 3e-3}, {"s": 3}, {"seed": 1}]
    for change in changes:
        other = parameters(train_super_resolver(replace(SUPER_RESOLUTION, **change), images()))
        assert not torch.equal(plain, other), change


def test_the_super_resolver_learns() -> None:
    coarse = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    x = interpolate(coarse, scale_factor=8, mode="bilinear")  # smooth, and so better than blocks
    y = BlockAverageProjector(4).D(x)
    errors = [
        (train_super_resolver(replace(SUPER_RESOLUTION, steps=steps, s=8, lr=2e-3), x)(y) - x).abs().mean().item()
        for steps in (0, 20)
    ]
    assert errors[1] < 0.9 * errors[0]
    untrained = super_resolver(8)(y)  # starts where L1 cannot kill its ReLUs
    torch.testing.assert_close(untrained, BlockAverageProjector(4).pinv(y))


def test_observed_is_the_bottom_quarter() -> None:
    assert bottom_quarter().float().mean() == 0.25
    assert bottom_quarter()[48:].all()


@pytest.mark.skipif(FOLDER_VARIABLE not in os.environ, reason=f"needs weights and images: set {FOLDER_VARIABLE}")
def test_on_real_data_the_suite_is_whole(tmp_path: Path) -> None:
    pytest.importorskip("PIL.Image")
    pytest.importorskip("sklearn")
    found = problems(data_folder(), tmp_path, TINY)
    assert [problem.name for problem in found] == list(SOURCES)
    check(found[-1])
    assert found[-1].y.shape == (4, 3, 24, 24)
    assert max(eps for problem in found for eps in problem.eps) == 10
