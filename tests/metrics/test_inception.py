"""The FID's Inception-v3: its network, the two presets, and the file of its weights, with random weights in its place.

Tests named after a thread hold off what users of another library reported there.
"""

from __future__ import annotations

import copy
import hashlib
import pickle
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stochrobust.metrics import inception
from stochrobust.metrics._inception_network import InceptionNetwork, _Block
from stochrobust.metrics._resize import resize_tf1
from stochrobust.metrics.extractors import extract_features
from stochrobust.metrics.inception import InceptionFeatures
from stochrobust.metrics.protocol import Protocol

NAMES = ("weights-inception-2015-12-05-6726825d.pth", "pt_inception-2015-12-05-6726825d.pth")

SHAPES_SHA256 = "eeafab116b1cf3f08243d1931ba765f5601f57773ada5fcfee37024cf0ca23e4"


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors in the published file: the network's, and the classifier's."""
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in InceptionNetwork().state_dict().items()}
    return shapes | {"fc.weight": (1008, 2048), "fc.bias": (1008,)}


def random_state() -> dict[str, Tensor]:
    """Random weights in the published format, the same everywhere: numpy keeps this generator as it is for good.

    Values stay of order one from layer to layer, and no normalisation is the identity.
    """
    random = np.random.RandomState(0)
    state = {}
    for name, shape in sorted(published_shapes().items()):
        values = random.standard_normal(shape)
        if name.endswith("conv.weight"):
            values *= np.sqrt(2 / np.prod(shape[1:]))
        elif name.endswith(("bn.weight", "running_var")):
            values = 1 + 0.3 * np.tanh(values)
        elif name.endswith("num_batches_tracked"):
            values = np.zeros(shape)
        else:
            values *= 0.1
        whole = name.endswith("num_batches_tracked")
        state[name] = torch.from_numpy(np.asarray(values)).to(torch.int64 if whole else torch.float32)
    return state


def saved(state: Any, path: Path) -> str:
    """Writes a file in the published format, and returns its SHA-256."""
    torch.save(state, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def picture(height: int, width: int) -> Tensor:
    """``(2, 3, height, width)`` 8-bit images by formula, with detail at every scale."""
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    planes = [(a * row * row + b * row * column + 3 * column * column + a) % 256 for a, b in ((1, 2), (5, 1), (2, 7))]
    image = torch.stack(planes).byte()
    return torch.stack([image, 255 - image.flip(2)])


def network_of(extractor: InceptionFeatures) -> InceptionNetwork:
    """The network after the preset's resizing and scaling."""
    assert extractor.module is not None
    network = extractor.module.get_submodule("network")
    assert isinstance(network, InceptionNetwork)
    return network


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    path = tmp_path_factory.mktemp("weights") / NAMES[0]
    yield path, saved(random_state(), path)
    path.unlink()  # pytest would keep the 87 MB of the last three runs


@pytest.fixture
def weights(random_weights: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of random weights, whose digest stands where the published one's does: all else is the public way."""
    path, digest = random_weights
    monkeypatch.setattr(inception, "SHA256", digest)
    return path


# -- the network -------------------------------------------------------------------------------------------------------


def test_the_names_and_shapes_are_those_of_the_published_file() -> None:
    """The digest is that of the networks of torch-fidelity 0.4.0 and of piq 0.8.0, which load the file strictly."""
    shapes = published_shapes()
    lines = "".join(f"{name} {shape}\n" for name, shape in sorted(shapes.items()))
    assert hashlib.sha256(lines.encode()).hexdigest() == SHAPES_SHA256
    assert len(shapes) == 566
    assert shapes["Mixed_7c.branch3x3dbl_3b.conv.weight"] == (384, 384, 3, 1)


def test_the_number_of_parameters_is_the_known_one() -> None:
    """torchvision's Inception-v3 without auxiliary classifier has 23,834,568, of which 2,049,000 classify 1000 classes;
    the trunk of Keras' has 21,802,784 numbers, three per channel of a normalisation where torch counts two."""
    parameters = sum(parameter.numel() for parameter in InceptionNetwork().parameters())
    channels = sum(len(buffer) for name, buffer in InceptionNetwork().named_buffers() if name.endswith("running_mean"))
    assert parameters == 23_834_568 - 2_049_000
    assert parameters == 21_802_784 - channels


def test_the_grids_are_those_of_the_architecture() -> None:
    grids = {}
    network = InceptionNetwork().eval()
    for name, layer in network.named_children():
        layer.register_forward_hook(lambda _, __, out, name=name: grids.update({name: tuple(out.shape[1:])}))
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 299, 299)).shape == (1, 2048)
    assert list(grids.values()) == [
        *[(32, 149, 149), (32, 147, 147), (64, 147, 147), (80, 73, 73), (192, 71, 71)],
        *[(256, 35, 35), (288, 35, 35), (288, 35, 35)],
        *[(768, 17, 17)] * 5,
        *[(1280, 8, 8), (2048, 8, 8), (2048, 8, 8)],
    ]


@pytest.mark.parametrize(
    ("name", "pool"),
    [(f"Mixed_{n}", "average") for n in ("5b", "5c", "5d", "6b", "6c", "6d", "6e", "7b")] + [("Mixed_7c", "maximum")],
)
def test_averages_leave_out_the_padding_and_the_last_block_takes_the_maximum(name: str, pool: str) -> None:
    """torcheval #192: the classification network of the same name gives other distances."""
    values = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]]])
    average = torch.tensor([[[[3.0, 3.5, 4.0], [4.5, 5.0, 5.5], [6.0, 6.5, 7.0]]]])
    maximum = torch.tensor([[[[5.0, 6.0, 6.0], [8.0, 9.0, 9.0], [8.0, 9.0, 9.0]]]])
    block = InceptionNetwork().get_submodule(name)
    assert isinstance(block, _Block)
    torch.testing.assert_close(block.pool(values), average if pool == "average" else maximum)


def test_each_way_of_pooling_matters(weights: Path) -> None:
    extractor = InceptionFeatures("tf", weights=weights)
    image = picture(40, 40)[:1]
    expected = extractor(image)
    for name in ("Mixed_5b", "Mixed_6b", "Mixed_7b", "Mixed_7c"):
        other = copy.deepcopy(extractor)
        block = network_of(other).get_submodule(name)
        assert isinstance(block, _Block)
        block.pool = torch.nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=name != "Mixed_7c")
        assert (other(image) - expected).norm() > 1e-4 * expected.norm(), name


def test_the_mode_of_the_network_does_not_matter(weights: Path) -> None:
    """torchmetrics #1620, torch-fidelity #43."""
    extractor = InceptionFeatures("tf", weights=weights)
    images = picture(30, 30)
    module = extractor.module
    assert module is not None
    expected = module.eval()(images)
    assert torch.equal(module.train()(images), expected)
    assert all(value == 0 for name, value in module.state_dict().items() if name.endswith("tracked"))
    singly = extract_features(images, extractor, batch_size=1).values
    torch.testing.assert_close(singly, expected, rtol=1e-4, atol=1e-5)


# -- the presets -------------------------------------------------------------------------------------------------------


def naive_bilinear(length: int, size: int, offset: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """``(size, length)``: each output is the mixture of the two inputs around its position; the ends are repeated."""
    matrix = np.zeros((size, length))
    for i in range(size):
        position = (i + offset) * length / size - offset
        lower = int(np.floor(position))
        for neighbour in (lower, lower + 1):
            matrix[i, min(max(neighbour, 0), length - 1)] += 1 - abs(position - neighbour)
    return matrix


def naive_resize(images: Tensor, size: int, offset: float) -> Tensor:
    rows, columns = (naive_bilinear(length, size, offset) for length in images.shape[2:])
    return torch.from_numpy(rows @ images.double().numpy() @ columns.T)


@pytest.mark.parametrize("size", [299, 20])
@pytest.mark.parametrize("shape", [(1, 1), (2, 7), (32, 32), (299, 299), (13, 598), (431, 350)])
def test_tensorflows_resizing_by_its_definition(shape: tuple[int, int], size: int) -> None:
    images = torch.rand(2, 3, *shape)
    torch.testing.assert_close(resize_tf1(images, size).double(), naive_resize(images, size, 0.0), rtol=0, atol=1e-4)
    assert all(resize_tf1(images.to(dtype), size).dtype == dtype for dtype in (torch.float64, torch.float16))
    torch.testing.assert_close(resize_tf1(images.double(), size), naive_resize(images, size, 0.0), rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", [(7, 5), (13, 9), (33, 61)])
def test_tensorflows_resizing_to_the_last_bit(shape: tuple[int, int]) -> None:
    """Positions are products in float32, and the mixture is taken along a row before it is taken between rows."""
    images = 255 * torch.rand(1, 1, *shape)
    values = images[0, 0].numpy()
    size, single = 20, np.float32
    expected = np.empty((size, size), single)
    at = [[single(i) * single(length / size) for i in range(size)] for length in shape]
    for i, row in enumerate(at[0]):
        for j, column in enumerate(at[1]):
            top, left = int(row), int(column)
            bottom, right = min(top + 1, shape[0] - 1), min(left + 1, shape[1] - 1)
            down, along = row - single(top), column - single(left)
            upper = values[top, left] + (values[top, right] - values[top, left]) * along
            lower = values[bottom, left] + (values[bottom, right] - values[bottom, left]) * along
            expected[i, j] = upper + (lower - upper) * down
    assert torch.equal(resize_tf1(images, size)[0, 0], torch.from_numpy(expected))


def test_tensorflows_resizing_by_hand() -> None:
    """Twice as wide: corner on corner, then half-way between, and the last repeated."""
    images = torch.tensor([[[[0.0, 4.0], [8.0, 16.0]]]])
    expected = [[0.0, 2.0, 4.0, 4.0], [4.0, 7.0, 10.0, 10.0], [8.0, 12.0, 16.0, 16.0], [8.0, 12.0, 16.0, 16.0]]
    assert resize_tf1(images, 4).tolist() == [[expected]]
    assert torch.equal(resize_tf1(images, 2), images)


@pytest.mark.parametrize("shape", [(32, 48), (64, 64), (299, 299), (431, 350)])
def test_presets_do_to_an_image_what_they_say(weights: Path, shape: tuple[int, int]) -> None:
    """pytorch-fid #3 and #112 (scaling); torchmetrics' resizing has antialiasing, neither of these has."""
    images = picture(*shape)
    seen: list[Tensor] = []
    for preset in ("paper", "tf"):
        extractor = InceptionFeatures(preset, weights=weights)
        network_of(extractor).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        extractor(images.double() / 255 if preset == "paper" else images)
    paper = 2 * naive_resize(images / 255, 299, 0.5) - 1
    tf = (naive_resize(images, 299, 0.0) - 128) / 128
    for found, expected in zip(seen, (paper, tf), strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-4)
    smooth = F.interpolate(images / 255, (299, 299), mode="bilinear", antialias=True)
    assert shape != (431, 350) or (2 * smooth - 1 - paper).abs().max() > 0.1, "this picture would not show it"


def test_presets_are_two_protocols(weights: Path) -> None:
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    name = "Inception-v3 (FID, 2015-12-05), pool 2048"
    paper = "bilinear to 299 x 299, pixel centres aligned, no antialias, 2x - 1"
    tf = "8-bit, bilinear to 299 x 299, pixel corners aligned (TF 1), (x - 128) / 128"
    assert InceptionFeatures("paper", weights=weights).protocol == Protocol(name, digest, paper, (0.0, 1.0))
    assert InceptionFeatures("tf", weights=weights).protocol == Protocol(name, digest, tf, (0.0, 255.0))


def test_presets_refuse_each_others_images(weights: Path) -> None:
    """torchmetrics #1244 and #1339: an unchecked cast."""
    paper, tf = (InceptionFeatures(preset, weights=weights) for preset in ("paper", "tf"))
    with pytest.raises(TypeError, match=r"images must be floating-point, in \[0.0, 1.0\], got a torch.uint8"):
        paper(picture(8, 8))
    with pytest.raises(ValueError, match=r"images must have values in \[0.0, 1.0\], got -1.0 to 1.0"):
        paper(picture(8, 8) / 127.5 - 1)
    with pytest.raises(TypeError, match=r"images must be 8-bit, torch\.uint8 of 0 to 255, got a torch.float32"):
        tf(picture(8, 8) / 255)
    with pytest.raises(ValueError, match="repeat the channel of grey images"):
        tf(picture(8, 8)[:, :1])


@pytest.mark.parametrize("preset", ["piq", "", None, 1])
def test_no_other_preset(weights: Path, preset: Any) -> None:
    with pytest.raises(ValueError, match=f"preset must be one of 'paper', 'tf', got {preset!r}"):
        InceptionFeatures(preset, weights=weights)


@pytest.mark.parametrize(
    ("preset", "stored"),
    [
        ("paper", [1.495141, 0.1684662, 1.65696, 1.519419, 0.1647976, 1.658439, 0.8833931, 0.8988441]),
        ("tf", [1.480987, 0.1573102, 1.649821, 1.496501, 0.1546511, 1.658665, 0.8795496, 0.8981977]),
    ],
)
def test_stored_features(weights: Path, preset: str, stored: list[float]) -> None:
    """What piq 0.8.0 ("paper") and torch-fidelity 0.4.0 ("tf") make of these weights and this picture, torch 2.14."""
    images = picture(64, 48)
    features = InceptionFeatures(preset, weights=weights)(images / 255 if preset == "paper" else images)
    found = [*features[:, :3].flatten().tolist(), *features.mean(1).tolist()]
    assert found == pytest.approx(stored, rel=1e-4)


# -- the file ----------------------------------------------------------------------------------------------------------


def test_the_digest_is_the_one_in_the_names() -> None:
    assert all(inception.SHA256[:8] in name for name in NAMES)
    assert len(inception.SHA256) == 64


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty torch.hub of its own; and no network."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something was fetched")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def test_weights_that_are_nowhere(hub: Path) -> None:
    """torchmetrics #2867, deepinv #712: machines without a network. What to do is said, and nothing is fetched."""
    with pytest.raises(FileNotFoundError) as caught:
        InceptionFeatures("paper")
    for part in (
        *(str(hub / name) for name in NAMES),
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/" + NAMES[0],
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/" + NAMES[1],
        f"into {hub}",
    ):
        assert part in str(caught.value)
    with pytest.raises(FileNotFoundError, match=re.escape(f"looked for {hub / 'mine.pth'}. Download")):
        InceptionFeatures("paper", weights=hub / "mine.pth")
    with pytest.raises(FileNotFoundError):
        InceptionFeatures("paper", weights=str(hub))


@pytest.mark.parametrize("name", NAMES)
def test_weights_are_found_in_the_cache_under_either_name(hub: Path, weights: Path, name: str) -> None:
    (hub / name).symlink_to(weights)
    image = picture(8, 8)[:1]
    assert torch.equal(InceptionFeatures("tf")(image), InceptionFeatures("tf", weights=str(weights))(image))


def test_a_given_path_goes_before_the_cache(hub: Path, weights: Path) -> None:
    (hub / NAMES[0]).write_bytes(b"another file")
    InceptionFeatures("tf", weights=weights)
    found = hashlib.sha256(b"another file").hexdigest()
    with pytest.raises(ValueError, match=f"weights must have the SHA-256 {inception.SHA256}, got {found}: {hub}"):
        InceptionFeatures("tf")


@pytest.mark.parametrize("place", [0, 8, 63])
def test_every_digit_of_the_digest_counts(weights: Path, monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    digits = list(inception.SHA256)
    digits[place] = "0" if digits[place] != "0" else "1"
    monkeypatch.setattr(inception, "SHA256", "".join(digits))
    with pytest.raises(ValueError, match="weights must have the SHA-256"):
        InceptionFeatures("paper", weights=weights)


def test_another_file_of_the_same_format_is_refused(random_weights: tuple[Path, str]) -> None:
    path, digest = random_weights
    with pytest.raises(ValueError, match=f"weights must have the SHA-256 6726825d.*, got {digest}"):
        InceptionFeatures("paper", weights=path)


@pytest.mark.parametrize("weights", [3, True, [NAMES[0]]])
def test_a_path_that_is_none(weights: Any) -> None:
    with pytest.raises(TypeError, match="weights must be a path, got "):
        InceptionFeatures("paper", weights=weights)


def test_a_file_is_data_and_not_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Sneaks:
        def __reduce__(self) -> tuple[Any, ...]:
            return pytest.fail, ("code of the file was run",)

    path = tmp_path / NAMES[0]
    monkeypatch.setattr(inception, "SHA256", saved({"fc.bias": Sneaks()}, path))
    with pytest.raises(pickle.UnpicklingError):
        InceptionFeatures("paper", weights=path)


def test_a_file_without_one_tensor_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = {name: torch.zeros(()).expand(shape) for name, shape in published_shapes().items()}
    del state["Mixed_6c.branch7x7_2.bn.bias"]
    path = tmp_path / NAMES[0]
    monkeypatch.setattr(inception, "SHA256", saved(state, path))
    with pytest.raises(RuntimeError, match=r"Missing key\(s\) in state_dict: .Mixed_6c.branch7x7_2.bn.bias"):
        InceptionFeatures("paper", weights=path)


def test_loading_draws_nothing_and_freezes_the_network(weights: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = torch.get_rng_state()
    extractor = InceptionFeatures("paper", weights=weights)
    assert torch.equal(before, torch.get_rng_state())
    assert capfd.readouterr() == ("", "")
    assert not any(parameter.requires_grad for parameter in network_of(extractor).parameters())
    assert not any(parameter.is_meta for parameter in network_of(extractor).parameters())


def test_an_extractor_can_be_copied_and_pickled(weights: Path) -> None:
    extractor = InceptionFeatures("tf", weights=weights)
    image = picture(8, 8)[:1]
    for twin in (copy.deepcopy(extractor), pickle.loads(pickle.dumps(extractor))):
        assert twin.protocol == extractor.protocol
        assert torch.equal(twin(image), extractor(image))


def test_float64_features(weights: Path) -> None:
    """The presets are float32; a module made double gives the digits to judge them by."""
    extractor = InceptionFeatures("tf", weights=weights)
    image = picture(40, 40)[:1]
    single = extractor(image)
    network_of(extractor).double()
    double = extractor(image)
    assert double.dtype == torch.float64
    assert (single - double).norm() < 1e-5 * double.norm()


def test_gradients_reach_the_images(weights: Path) -> None:
    """Against a difference in float64, for a loss on features; extract_features asks for no gradient."""
    extractor = InceptionFeatures("paper", weights=weights)
    network_of(extractor).double()
    image = (0.25 + picture(8, 8)[:1] / 510).double().requires_grad_()
    step = 1e-8 * torch.randn(image.shape, dtype=torch.float64)
    (slope,) = torch.autograd.grad(extractor(image).sum(), image)
    with torch.no_grad():
        change = (extractor(image + step) - extractor(image - step)).sum() / 2
    torch.testing.assert_close((slope * step).sum(), change, rtol=1e-4, atol=0)


@pytest.mark.gpu
@pytest.mark.parametrize("preset", ["paper", "tf"])
def test_on_a_gpu(weights: Path, preset: str) -> None:
    extractor = InceptionFeatures(preset, weights=weights)
    images = picture(64, 48) / 255 if preset == "paper" else picture(64, 48)
    expected = extractor(images)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        features = extract_features(images, extractor.to("cuda"), batch_size=1).values
    assert features.is_cuda
    assert (features.cpu() - expected).norm() < 1e-4 * expected.norm()
