"""Restorers of arrays: layouts, ranges, dtypes, seeds, workers; and the packages that people have them from."""

from __future__ import annotations

import contextlib
import copy
import io
import os
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stochrobust import AttackWarning, BlackBox, SampleKeys, SubspaceSearch, sensitivity

Y = torch.rand(3, 2, 4, 5, generator=torch.Generator().manual_seed(0))


Array = Any  # numpy's own stubs call a sum of arrays Any


class Seen:
    """A restorer that keeps what it gets and returns it."""

    def __init__(self) -> None:
        self.arrays: list[Array] = []

    def __call__(self, image: Array) -> Array:
        self.arrays.append(image.copy())
        return image


def noisy(image: Array, rng: np.random.Generator) -> Array:
    return 2 * image + rng.normal(size=image.shape)


def legacy(image: Array, *, random_state: int) -> Array:
    return 2 * image + np.random.RandomState(random_state).normal(size=image.shape)


def process(image: Array) -> Array:
    return np.full_like(image, os.getpid())


def doubled(image: Array) -> Array:
    return 2 * image


@pytest.mark.parametrize(
    ("layout", "batched", "shapes"),
    [
        ("NCHW", True, [(3, 2, 4, 5)]),
        ("NCHW", False, [(2, 4, 5)] * 3),
        ("NHWC", True, [(3, 4, 5, 2)]),
        ("NHWC", False, [(4, 5, 2)] * 3),
    ],
)
def test_arrays_have_the_layout_and_come_back_as_they_were(layout: Any, batched: bool, shapes: list[Any]) -> None:
    seen = Seen()
    restored = BlackBox(seen, layout=layout, batched=batched)(Y)
    assert [array.shape for array in seen.arrays] == shapes
    assert all(array.flags.c_contiguous and array.dtype == np.float32 for array in seen.arrays)
    torch.testing.assert_close(restored, Y, rtol=0, atol=0)
    first = seen.arrays[0] if not batched else seen.arrays[0][0]
    expected = Y[0].numpy() if layout == "NCHW" else Y[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(first, expected)


def test_grey_images_lose_their_channel_and_get_it_back() -> None:
    seen = Seen()
    torch.testing.assert_close(BlackBox(seen, layout="NHW", batched=False)(Y[:, :1]), Y[:, :1])
    assert seen.arrays[0].shape == (4, 5)
    drops = BlackBox(lambda image: image[..., 0], layout="NHWC", batched=False)  # as OpenCV does
    torch.testing.assert_close(drops(Y[:, :1]), Y[:, :1])


@pytest.mark.parametrize(
    ("dtype", "pixel_range", "step"),
    [
        ("float64", (-1, 1), 0),
        ("float32", (0, 255), 0),
        ("float16", (0, 1), 5e-4),
        ("uint8", (0, 255), 1 / 510),
        ("uint16", (0, 65535), 1 / 131070),
    ],
)
def test_values_are_in_the_range_and_dtype(dtype: str, pixel_range: Any, step: float) -> None:
    seen = Seen()
    restored = BlackBox(seen, dtype=dtype, pixel_range=pixel_range)(Y)
    low, high = pixel_range
    assert seen.arrays[0].dtype == np.dtype(dtype)
    np.testing.assert_allclose(seen.arrays[0], low + Y.numpy() * (high - low), atol=max(step * (high - low), 1e-5))
    torch.testing.assert_close(restored, Y, rtol=0, atol=step + 1e-6)


def test_integers_are_rounded_and_clipped() -> None:
    seen = Seen()
    BlackBox(seen, dtype="uint8", pixel_range=(16, 235))(torch.tensor([[-0.5, 0.0, 0.2511, 1.0, 2.0]]))
    assert seen.arrays[0].tolist() == [[16, 16, 71, 235, 235]]


def test_any_shape_is_taken_as_it_is_and_the_result_has_ys_dtype() -> None:
    restored = BlackBox(lambda v: v.sum(1, keepdims=True))(torch.ones(4, 3, dtype=torch.float64))
    assert restored.dtype == torch.float64
    assert restored.tolist() == [[3.0]] * 4
    assert BlackBox(doubled)(Y.half()).dtype == torch.float16


def test_y_is_left_as_it_was_and_no_gradient_is_pretended() -> None:
    def spoils(image: Array) -> Array:
        image *= 0
        return image

    y = Y.clone().requires_grad_()
    assert not BlackBox(spoils)(y).requires_grad
    assert torch.equal(y, Y)
    with pytest.raises(ValueError, match=r"carries no gradient.*attack=SubspaceSearch"):
        sensitivity(BlackBox(doubled), Y, 0.1)


@pytest.mark.parametrize(
    "returned",
    [lambda a: [a], lambda a: torch.from_numpy(a), lambda a: a.tolist(), lambda a: (a * 255).astype(np.uint8) / 255.0],
)
def test_what_packages_return_is_taken(returned: Any) -> None:
    torch.testing.assert_close(BlackBox(returned)(Y), Y, rtol=0, atol=1 / 250)


@pytest.mark.parametrize(("G", "seed"), [(noisy, "rng"), (legacy, "random_state")])
@pytest.mark.parametrize("batched", [True, False])
def test_noise_is_held_by_the_named_argument(G: Any, seed: str, batched: bool) -> None:
    estimator = BlackBox(G, seed=seed, batched=batched, dtype="float64")
    z = torch.tensor([5, 6, 5])
    first, again = estimator(Y[:1].expand(3, -1, -1, -1), z), estimator(Y[:1].expand(3, -1, -1, -1), z)
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    torch.testing.assert_close(first[0], first[2], rtol=0, atol=0)
    assert not torch.allclose(first[0], first[1])
    found = sensitivity(estimator, Y, 0.1, 3, attack=SubspaceSearch(20), generator=SampleKeys(range(3)))
    torch.testing.assert_close(found.gain, torch.full((3,), 2.0), rtol=1e-4, atol=0)
    assert found.concerns == ()
    assert found.held_out


def test_seeds_are_drawn_from_the_generator() -> None:
    estimator = BlackBox(noisy, seed="rng")
    draws = [estimator.sample_z(Y, torch.Generator().manual_seed(s)) for s in (0, 0, 1)]
    assert draws[0].shape == (3,)
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    assert not hasattr(BlackBox(doubled), "sample_z")


@pytest.mark.filterwarnings("ignore:the attack found less")  # which is noise too
def test_noise_from_elsewhere_is_told() -> None:
    careless = BlackBox(lambda image: image + np.random.normal(size=image.shape))  # noqa: NPY002 (what people do)
    with pytest.warns(AttackWarning, match="not the same function in two calls"):
        sensitivity(careless, Y, 0.1, attack=SubspaceSearch(5))


def test_workers_give_the_same_numbers() -> None:
    there = BlackBox(noisy, seed="rng", workers=2)
    z = torch.arange(3)
    torch.testing.assert_close(there(Y, z), BlackBox(noisy, seed="rng")(Y, z), rtol=0, atol=0)
    torch.testing.assert_close(BlackBox(doubled, workers=1, batched=False)(Y), 2 * Y)
    elsewhere = BlackBox(process, workers=1, batched=False, dtype="float64")(Y.double()).unique()
    assert len(elsewhere) == 1
    assert elsewhere.item() != os.getpid()
    assert there._running() is there._running()
    for twin in (copy.deepcopy(there), pickle.loads(pickle.dumps(there))):
        assert twin._pool is None
        assert twin.workers == 2


def test_it_says_what_it_is() -> None:
    text = repr(BlackBox(doubled, layout="NHWC", dtype="uint8", pixel_range=(0, 255), batched=False, seed="rng"))
    assert text == (
        "BlackBox(doubled, layout='NHWC', pixel_range=(0.0, 255.0), dtype='uint8', batched=False, seed='rng')"
    )


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: BlackBox(3), TypeError, "G must be callable"),  # type: ignore[arg-type]
        (lambda: BlackBox(doubled, layout="CHW"), ValueError, "layout must be one of"),  # type: ignore[arg-type]
        (lambda: BlackBox(doubled, dtype="int8"), ValueError, "dtype must be one of"),
        (lambda: BlackBox(doubled, dtype="uint8"), ValueError, r"pixel_range must be in integers for dtype='uint8'"),
        (lambda: BlackBox(doubled, pixel_range=(1, 0)), ValueError, "pixel_range must increase"),
        (lambda: BlackBox(doubled, pixel_range=1.0), TypeError, "pixel_range must be"),  # type: ignore[arg-type]
        (lambda: BlackBox(doubled, workers=-1), ValueError, "workers must be at least 0"),
        (lambda: BlackBox(doubled, seed=3), TypeError, "seed must be the name"),  # type: ignore[arg-type]
        (lambda: BlackBox(doubled)(Y, torch.arange(3)), TypeError, "z must be left out with seed=None"),
        (lambda: BlackBox(noisy, seed="rng")(Y), TypeError, "z must be given with seed='rng'"),
        (lambda: BlackBox(doubled, layout="NHWC")(Y[:, 0]), ValueError, r"y must be \(B, C, H, W\)"),
        (lambda: BlackBox(doubled, layout="NHW")(Y), ValueError, r"y must be \(B, 1, H, W\)"),
        (lambda: BlackBox(lambda a: a[:2])(Y), ValueError, "G must return one restoration per image, 3 of them"),
        (lambda: BlackBox(lambda a: np.float32(1))(Y), ValueError, "G must return one restoration per image"),
        (lambda: BlackBox(lambda a: a.astype(complex))(Y), TypeError, "G must return an array of real numbers"),
        (lambda: BlackBox(lambda a: a[: int(9 * a.sum()) % 3 + 1], batched=False)(Y), ValueError, "of one shape"),
    ],
)
def test_what_does_not_fit_is_named(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


# -- the packages themselves -------------------------------------------------------------------------------------------


def found_by_search(G: BlackBox, y: Tensor, eps: float = 0.2) -> float:
    """The mean gain that the search finds."""
    return float(sensitivity(G, y, eps, attack=SubspaceSearch(40), generator=SampleKeys(range(len(y)))).gain.mean())


def test_onnx_runtime() -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    onnx = pytest.importorskip("onnx", reason="onnx, which makes the model, is not installed")
    kernel = torch.randn(2, 2, 3, 3, generator=torch.Generator().manual_seed(1))
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["y", "w"], ["x"], pads=[1, 1, 1, 1])],
        "restorer",
        [value("y", onnx.TensorProto.FLOAT, ["B", 2, "H", "W"])],
        [value("x", onnx.TensorProto.FLOAT, ["B", 2, "H", "W"])],
        [onnx.numpy_helper.from_array(kernel.numpy(), "w")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    G = BlackBox(lambda y: session.run(None, {"y": y}))
    torch.testing.assert_close(G(Y), torch.nn.functional.conv2d(Y, kernel, padding=1), rtol=1e-4, atol=1e-5)
    options = {"attack": SubspaceSearch(40), "generator": SampleKeys(range(3))}
    here = sensitivity(lambda y: torch.nn.functional.conv2d(y, kernel, padding=1), Y, 0.2, **options)  # type: ignore[arg-type]
    assert found_by_search(G, Y) == pytest.approx(float(here.gain.mean()), rel=0.01)


@pytest.mark.parametrize("method", ["INPAINT_TELEA", "INPAINT_NS"])
def test_opencv_inpainting(method: str) -> None:
    cv2 = pytest.importorskip("cv2", reason="opencv-python-headless is not installed")
    y = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    hole = np.zeros((16, 16), np.uint8)
    hole[5:10, 5:10] = 1
    G = BlackBox(
        lambda image: cv2.inpaint(image, hole, 3, getattr(cv2, method)),
        layout="NHWC", dtype="uint8", pixel_range=(0, 255), batched=False,
    )  # fmt: skip
    restored, outside = G(y), torch.from_numpy(hole) == 0
    torch.testing.assert_close(restored[:, :, outside], y[:, :, outside], rtol=0, atol=1 / 510 + 1e-6)
    assert not torch.allclose(restored[:, :, ~outside], y[:, :, ~outside], atol=0.05)
    assert found_by_search(G, y, eps=2.0) > 0.9  # what is not in the hole comes back


def test_scikit_image_total_variation_is_nonexpansive() -> None:
    restoration = pytest.importorskip("skimage.restoration", reason="scikit-image is not installed")
    y = torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    G = BlackBox(
        lambda image: restoration.denoise_tv_chambolle(image, weight=0.05, eps=1e-9, max_num_iter=2000),
        layout="NHW", dtype="float64", batched=False,
    )  # fmt: skip
    # A proximal map moves its output no more than its input; constant images it moves just as far.
    assert 0.95 < found_by_search(G, y) <= 1.001


def test_scikit_image_in_colour_with_channels_last() -> None:
    restoration = pytest.importorskip("skimage.restoration", reason="scikit-image is not installed")
    G = BlackBox(lambda image: restoration.denoise_bilateral(image, channel_axis=-1), layout="NHWC", batched=False)
    y = torch.rand(1, 3, 8, 8)
    expected = restoration.denoise_bilateral(y[0].permute(1, 2, 0).numpy(), channel_axis=-1)
    np.testing.assert_allclose(G(y)[0].permute(1, 2, 0).numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_the_page_audits_scikit_image_in_under_ten_lines() -> None:
    pytest.importorskip("skimage", reason="scikit-image is not installed")
    page = (Path(__file__).parents[2] / "docs/how-to/other-frameworks.md").read_text()
    (block,) = re.findall(r"```py\n(.*?)```", page, re.DOTALL)
    assert len([line for line in block.splitlines() if line]) < 10
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(block, names)
    assert "SubspaceSearch(steps=200)" in output.getvalue()
    assert "robustness_paper" not in names["report"].numbers
    assert 0.9 < names["report"].numbers["amplification"].estimate < 1.2  # it stops early: see the page
