"""CARN-M: its structure against a naive version, the strict reader of its weights, and its published quality."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, pixel_shuffle

from reference_experiments.data.images64 import FOLDER_VARIABLE, data_folder
from reference_experiments.data.sr_benchmarks import luma, sr_pairs
from reference_experiments.networks import carn_m
from reference_experiments.networks.carn_m import CARNM, SHA256, load_carn_m
from reference_experiments.networks.weights import with_weights
from reference_experiments.psnr_convention import BENCHMARK, PSNRConvention

BLOCK = ["b1.body.0", "b1.body.2", "b1.body.4", "c1.body.0", "c2.body.0", "c3.body.0"]
LAYERS = [
    *("sub_mean.shifter", "add_mean.shifter", "entry", "exit", "c1.body.0", "c2.body.0", "c3.body.0"),
    *(f"{block}.{layer}" for block in ("b1", "b2", "b3") for layer in BLOCK),
    *("upsample.up2.body.0", "upsample.up3.body.0", "upsample.up4.body.0", "upsample.up4.body.3"),
]


def naive(weights: dict[str, Tensor], y: Tensor, scale: int) -> Tensor:
    """CARN-M read off the tensors' names, in plain functions."""

    def conv(name: str, x: Tensor) -> Tensor:
        kernel = weights[f"{name}.weight"]
        groups = x.shape[1] // kernel.shape[1]
        return conv2d(x, kernel, weights[f"{name}.bias"], padding=kernel.shape[-1] // 2, groups=groups)

    def residual(name: str, x: Tensor) -> Tensor:
        inner = conv(f"{name}.body.2", conv(f"{name}.body.0", x).relu()).relu()
        return (conv(f"{name}.body.4", inner) + x).relu()

    def local(name: str, o0: Tensor) -> Tensor:
        first = residual(f"{name}.b1", o0)
        o1 = conv(f"{name}.c1.body.0", torch.cat([o0, first], 1)).relu()
        second = residual(f"{name}.b1", o1)
        o2 = conv(f"{name}.c2.body.0", torch.cat([o0, first, second], 1)).relu()
        third = residual(f"{name}.b1", o2)
        return conv(f"{name}.c3.body.0", torch.cat([o0, first, second, third], 1)).relu()

    x = conv("entry", conv("sub_mean.shifter", y))
    first = local("b1", x)
    o1 = conv("c1.body.0", torch.cat([x, first], 1)).relu()
    second = local("b2", o1)
    o2 = conv("c2.body.0", torch.cat([x, first, second], 1)).relu()
    third = local("b3", o2)
    features = conv("c3.body.0", torch.cat([x, first, second, third], 1)).relu()
    for layer, factor in {2: [(0, 2)], 3: [(0, 3)], 4: [(0, 2), (3, 2)]}[scale]:
        features = pixel_shuffle(conv(f"upsample.up{scale}.body.{layer}", features).relu(), factor)
    return conv("add_mean.shifter", conv("exit", features))


def random_weights() -> dict[str, Tensor]:
    """As many large random numbers as it has weights: no layer may hide behind small ones."""
    return {name: tensor + 0.05 * torch.randn_like(tensor) for name, tensor in CARNM(2).state_dict().items()}


def test_tensors_have_the_published_names_and_number() -> None:
    weights = CARNM(4).state_dict()
    assert weights.keys() == {f"{layer}.{part}" for layer in LAYERS for part in ("weight", "bias")}
    assert len(weights) == 58
    assert sum(tensor.numel() for tensor in weights.values()) == 414_811
    assert weights["sub_mean.shifter.bias"].tolist() == pytest.approx([-0.4488, -0.4371, -0.4040])
    assert torch.equal(weights["add_mean.shifter.bias"], -weights["sub_mean.shifter.bias"])


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_forward_is_the_naive_one(scale: int) -> None:
    weights, y = random_weights(), torch.rand(2, 3, 7, 5)
    model = with_weights(CARNM(scale), weights, "CARN-M", "these")
    out = model(y)
    assert out.shape == (2, 3, 7 * scale, 5 * scale)
    assert out.std() > 0.01
    torch.testing.assert_close(out, naive(weights, y, scale))
    assert not model.training


def test_another_scale_is_refused() -> None:
    with pytest.raises(ValueError, match=r"scale must be one of \(2, 3, 4\), got 8"):
        CARNM(8)


def test_tensors_that_are_not_its_own_are_named() -> None:
    weights = random_weights()
    weights["enter.weight"] = weights.pop("entry.weight")
    weights["exit.bias"] = torch.zeros(4)
    message = (
        r"^these does not hold CARN-M's weights: enter.weight is unknown; entry.weight is missing; "
        r"exit.bias must be \(3,\), got \(4,\)$"
    )
    with pytest.raises(ValueError, match=message):
        with_weights(CARNM(4), weights, "CARN-M", "these")


def test_a_file_is_read_only_if_it_is_the_published_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, weights = tmp_path / "carn_m.pth", random_weights()
    with pytest.raises(FileNotFoundError, match=r"carn_m.pth does not exist: it should be CARN-M's published"):
        load_carn_m(path, 4)
    torch.save(weights, path)
    with pytest.raises(ValueError, match=f"carn_m.pth must be the published carn_m.pth, of SHA-256 {SHA256}, got "):
        load_carn_m(path, 4)
    monkeypatch.setattr(carn_m, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    loaded = load_carn_m(path, 3)
    assert loaded.scale == 3
    assert all(torch.equal(tensor, weights[name]) for name, tensor in loaded.state_dict().items())


# The published weights on the standard low-resolution inputs: 8-bit outputs, a border of 4 pixels cut.
QUALITY = [("Set5", 31.885, 29.971), pytest.param("Set14", 28.422, 26.618, marks=pytest.mark.slow)]


@pytest.mark.skipif(FOLDER_VARIABLE not in os.environ, reason=f"needs weights and images: set {FOLDER_VARIABLE}")
@pytest.mark.parametrize(("benchmark", "of_luma", "of_rgb"), QUALITY)
def test_quality_is_the_published_one(benchmark: str, of_luma: float, of_rgb: float) -> None:
    pytest.importorskip("PIL.Image")
    model = load_carn_m(data_folder() / "carn_m" / "carn_m.pth", 4)
    of_rgb_too, scores = PSNRConvention("rgb", 4, "round"), []
    for x, y in sr_pairs(data_folder(), benchmark):
        with torch.no_grad():
            x_hat = model(y[None])
        scores.append([float(convention(x_hat, x[None])) for convention in (BENCHMARK, of_rgb_too)])
    assert torch.tensor(scores).mean(0).tolist() == pytest.approx([of_luma, of_rgb], abs=0.0015)


# -- the images --------------------------------------------------------------------------------------------------------


def save_image(path: Path, pixels: Tensor) -> None:
    """(H, W, 3) or, in grey, (H, W) of uint8."""
    image = pytest.importorskip("PIL.Image")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.fromarray(pixels.numpy()).save(path)


def test_pairs_of_a_benchmark(tmp_path: Path) -> None:
    root = tmp_path / "sr_benchmarks" / "Some"
    generator = torch.Generator().manual_seed(0)
    colour = torch.randint(256, (9, 14, 3), generator=generator).byte()
    grey = torch.randint(256, (4, 4), generator=generator).byte()
    save_image(root / "HR" / "img_002.png", colour)
    save_image(root / "LRx4" / "img_002.png", colour[:2, :3])
    save_image(root / "HR" / "img_001.png", grey)
    save_image(root / "LRx4" / "img_001.png", grey[:1, :1])
    first, second = sr_pairs(tmp_path, "Some")
    assert torch.equal((255 * first.x).round().byte(), grey.expand(3, 4, 4))
    assert first.y.shape == (3, 1, 1)
    assert torch.equal((255 * second.x).round().byte(), colour[:8, :12].permute(2, 0, 1))
    assert torch.equal((255 * second.y).round().byte(), colour[:2, :3].permute(2, 0, 1))
    save_image(root / "HR" / "img_001.png", grey[:3])
    with pytest.raises(ValueError, match=r"img_001.png is \(1, 1\): its HR image is smaller than 4 times that"):
        sr_pairs(tmp_path, "Some")
    with pytest.raises(FileNotFoundError, match=r"Other should hold HR/\* and LRx4/\*.png"):
        sr_pairs(tmp_path, "Other")


def test_luma_of_known_colours() -> None:
    colours = torch.tensor([[0.0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    found = 255 * luma(colours[:, :, None, None]).flatten()
    assert found.tolist() == pytest.approx([16, 235, 81.481, 144.553, 40.966], abs=1e-3)
