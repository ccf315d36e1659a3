"""EDSR: against a naive version and the original's numbers, and the strict reader of its weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, pixel_shuffle

from reference_experiments.networks.edsr import EDSR, EDSR_BASELINE, EDSR_FULL, EDSRSize, load_edsr
from reference_experiments.networks.weights import with_weights
from tests.drawn_weights import drawn_weights

TINY = EDSRSize(2, 5, 0.3)


def naive(weights: dict[str, Tensor], size: EDSRSize, y: Tensor) -> Tensor:
    """EDSR read off the tensors' names, in plain functions, for images in [0, 255]."""

    def conv(name: str, x: Tensor) -> Tensor:
        kernel = weights[f"{name}.weight"]
        return conv2d(x, kernel, weights[f"{name}.bias"], padding=kernel.shape[-1] // 2)

    head = conv("head.0", conv("sub_mean", y))
    x = head
    for i in range(size.n_blocks):
        x = x + size.residual * conv(f"body.{i}.body.2", conv(f"body.{i}.body.0", x).relu())
    x = head + conv(f"body.{size.n_blocks}", x)
    for name in ("tail.0.0", "tail.0.2"):
        x = pixel_shuffle(conv(name, x), 2)
    return conv("add_mean", conv("tail.1", x))


def test_forward_is_the_naive_one_in_another_range() -> None:
    model, y = EDSR(TINY).double(), torch.rand(2, 3, 7, 5, dtype=torch.float64)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    out = model(y)
    assert out.shape == (2, 3, 28, 20)
    torch.testing.assert_close(255 * out, naive(model.state_dict(), TINY, 255 * y))


# What `src/model/edsr.py` of github.com/sanghyun-son/EDSR-PyTorch (commit 3dd71ae) computes in float64 of the weights
# `drawn_weights(..., 7)` and `default_rng(3).random((2, 3, h, w))`, in [0, 255]: mean, standard deviation, the last
# three values, here over 255.
ORIGINAL = [
    (
        *(EDSRSize(2, 8, 0.1), (8, 8)),
        [4.54340627e-05, 0.0002674011966, -0.0001998646066, 4.462861497e-05, 8.771222252e-05],
    ),
    (
        *(EDSR_BASELINE, (13, 10)),
        [-5.905850045e-06, 0.0004157102166, -0.0002547368392, -0.0001324302996, -7.393593713e-05],
    ),
    pytest.param(
        *(EDSR_FULL, (8, 8)),
        [-5.146747463e-05, 0.0001297486879, -0.0001985561963, -0.0001233168128, -5.91436519e-05],
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.parametrize(("size", "side", "expected"), ORIGINAL)
def test_numbers_are_the_originals(size: EDSRSize, side: tuple[int, int], expected: list[float]) -> None:
    model = EDSR(size).double()
    with_weights(model, drawn_weights(model.state_dict(), 7), "EDSR", "a seed")
    with torch.no_grad():
        out = model(torch.from_numpy(np.random.default_rng(3).random((2, 3, *side))))
    found = [out.mean().item(), out.std().item(), *out[1, 2, -1, -3:].tolist()]
    assert found == pytest.approx(expected, rel=1e-8, abs=0)


@pytest.mark.parametrize(
    ("size", "n_tensors", "n_values"), [(EDSR_FULL, 142, 43_089_947), (EDSR_BASELINE, 78, 1_517_595)]
)
def test_tensors_have_the_published_names_and_number(size: EDSRSize, n_tensors: int, n_values: int) -> None:
    with torch.device("meta"):
        sizes = {name: tensor.numel() for name, tensor in EDSR(size).state_dict().items()}
    layers = ["sub_mean", "add_mean", "head.0", f"body.{size.n_blocks}", "tail.0.0", "tail.0.2", "tail.1"]
    layers += [f"body.{i}.body.{j}" for i in range(size.n_blocks) for j in (0, 2)]
    assert sizes.keys() == {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}
    assert (len(sizes), sum(sizes.values())) == (n_tensors, n_values)


def test_sizes_are_the_published_ones() -> None:
    assert (EDSR_FULL.residual, EDSR_BASELINE.residual) == (0.1, 1.0)


def test_the_mean_colour_is_taken_away_and_given_back() -> None:
    model, colour = EDSR(TINY), torch.tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1)
    assert model.sub_mean(255 * colour).abs().max() < 1e-4
    torch.testing.assert_close(model.add_mean(torch.zeros(1, 3, 1, 1)), 255 * colour)
    assert not any(p.requires_grad for shift in (model.sub_mean, model.add_mean) for p in shift.parameters())


def test_a_checkpoint_is_read_strictly(tmp_path: Path) -> None:
    source, path = EDSR(TINY), tmp_path / "edsr.pt"
    weights = dict(source.state_dict())
    torch.save(weights, path)
    loaded = load_edsr(path, TINY)
    assert not loaded.training
    y = torch.rand(1, 3, 4, 4)
    assert torch.equal(loaded(y), source(y))
    with pytest.raises(
        ValueError, match=r"edsr.pt does not hold EDSR's weights: body.0.body.0.bias must .*; and \d+ more$"
    ):
        load_edsr(path, EDSRSize(1, 6, 0.3))
    weights["tail.2.bias"] = weights.pop("tail.1.bias")  # which the authors' own reader would let pass
    torch.save(weights, path)
    with pytest.raises(ValueError, match=r"EDSR's weights: tail.1.bias is missing; tail.2.bias is unknown$"):
        load_edsr(path, TINY)
    with pytest.raises(FileNotFoundError, match=r"none.pt is not a file: it should be a checkpoint of EDSR for 4x"):
        load_edsr(tmp_path / "none.pt")


def test_the_digest_in_a_files_name_is_held_to(tmp_path: Path) -> None:
    path = tmp_path / "edsr_x4-4f62e9ef.pt"
    torch.save(EDSR(TINY).state_dict(), path)
    with pytest.raises(ValueError, match=r"must have a SHA-256 that begins with 4f62e9ef, as its name says, got "):
        load_edsr(path, TINY)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    load_edsr(path.rename(tmp_path / f"edsr_x4-{digest[:8]}.pt"), TINY)
