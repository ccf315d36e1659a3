"""Restorers that take and give arrays: numpy, ONNX Runtime, OpenCV, scikit-image, a program's Python face."""

from __future__ import annotations

import functools
import multiprocessing
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from stochrobust._arguments import check_choice, check_count, check_real, check_truth, describe

Layout: TypeAlias = Literal["NCHW", "NHWC", "NHW"]
LAYOUTS = ("NCHW", "NHWC", "NHW")
DTYPES = ("float32", "float64", "float16", "uint8", "uint16")
INTEGER_SEEDS = ("random_state", "seed")
"""Arguments that take an integer; one of another name, such as ``rng``, gets a ``numpy.random.Generator``."""
Array: TypeAlias = "np.ndarray[Any, Any]"


class BlackBox:
    """A restorer of arrays as an estimator ``G(y)`` of tensors, or ``G(y, z)`` with ``seed=``; it has no gradient.

    Tensors y are images in [0, 1], (B, C, H, W), or of any other shape with ``layout="NCHW"``. They become arrays in
    the layout, range and dtype that G wants, and what it returns becomes a tensor of y's dtype, on y's device, in the
    same way back. Attacks by gradients do not apply: use :class:`~stochrobust.SubspaceSearch`.

    Noise that G draws inside from numpy's global generator is not held between calls, and a measurement warns of it.
    Name the argument by which G takes its noise instead: then z is one integer per image.

    Args:
        G: takes an array and returns one, or anything that ``numpy.asarray`` or DLPack takes.
        layout: ``"NCHW"``; ``"NHWC"``, channels last, as OpenCV and scikit-image have them; ``"NHW"``, grey images
            without an axis for the channel.
        pixel_range: the values in G's images of black and white, which are 0 and 1 in y.
        dtype: of G's images: ``"float32"``, ``"float64"``, ``"float16"``, ``"uint8"`` or ``"uint16"``. Integers are
            rounded, and clipped to ``pixel_range``: a change of y below half a step is lost.
        batched: whether G takes a batch; otherwise it gets one image at a time, without the axis N.
        workers: processes that share the images; 0 for this one. Each imports G by name, so that G is a function or
            an object that pickles, and a script needs ``if __name__ == "__main__":``.
        seed: name of G's argument for its noise, ``rng=``, ``random_state=`` or the like; G then gets one image per
            call (a batch of one with ``batched``). ``random_state`` and ``seed`` get an integer, others a
            ``numpy.random.Generator``.

    Raises:
        TypeError, ValueError: naming the setting; when called, if y does not fit the layout, or G returns another
            number of images.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from stochrobust import SubspaceSearch, sensitivity
        >>> def median(image):  # (H, W) of 0 to 255
        ...     return 2.0 * np.flip(image, 0)
        >>> G = BlackBox(median, layout="NHW", pixel_range=(0, 255), dtype="float64", batched=False)
        >>> G(torch.tensor([[[[0.25], [0.5]]]])).flatten()
        tensor([1.0000, 0.5000])
        >>> found = sensitivity(G, torch.rand(1, 1, 4, 4), eps=0.1, attack=SubspaceSearch(20))
        >>> round(found.gain.item(), 3)
        2.0
    """

    sample_z: Callable[[Tensor, torch.Generator | None], Tensor]

    def __init__(
        self,
        G: Callable[..., Any],
        *,
        layout: Layout = "NCHW",
        pixel_range: tuple[float, float] = (0, 1),
        dtype: str = "float32",
        batched: bool = True,
        workers: int = 0,
        seed: str | None = None,
    ) -> None:
        if not callable(G):
            raise TypeError(f"G must be callable on arrays, got {describe(G)}")
        check_choice("layout", layout, LAYOUTS)
        check_choice("dtype", dtype, DTYPES)
        check_truth("batched", batched)
        self.G, self.layout, self.dtype, self.batched, self.seed = G, layout, np.dtype(dtype), batched, seed
        self.pixel_range = _check_pixel_range(pixel_range, self.dtype)
        self.workers = check_count("workers", workers, minimum=0)
        if seed is not None:
            if not isinstance(seed, str):
                raise TypeError(f"seed must be the name of an argument of G or None, got {describe(seed)}")
            self.sample_z = _integers
        self._pool: ProcessPoolExecutor | None = None

    def __call__(self, y: Tensor, z: Tensor | None = None) -> Tensor:
        """The restorations of y (B, ...), with the seeds z (B,)."""
        if (z is None) != (self.seed is None):
            raise TypeError(
                f"z must be {'given' if self.seed else 'left out'} with seed={self.seed!r}, got {describe(z)}"
            )
        images = self._as_arrays(y)
        if self.batched and self.seed is None and not self.workers:
            restored = _as_array(self.G(images))
        else:
            restored = self._one_by_one(images, z)
        if restored.ndim == 0 or len(restored) != len(y):
            raise ValueError(f"G must return one restoration per image, {len(y)} of them, got {restored.shape}")
        return self._as_tensor(restored, y)

    def _one_by_one(self, images: Array, z: Tensor | None) -> Array:
        parts = [images[i : i + 1] if self.batched else images[i] for i in range(len(images))]
        seeds = [None] * len(parts) if z is None else z.flatten().tolist()
        call = functools.partial(_restored, self.G, self.seed)
        run = map if not self.workers else self._running().map
        restored = [_as_array(part) for part in run(call, parts, seeds)]
        shapes = {part.shape for part in restored}
        if len(shapes) > 1:
            raise ValueError(f"G must return restorations of one shape, got {sorted(shapes)}")
        return np.concatenate(restored) if self.batched else np.stack(restored)

    def _as_arrays(self, y: Tensor) -> Array:
        images = y.detach().cpu()
        if self.layout != "NCHW" and (y.ndim != 4 or (self.layout == "NHW" and y.shape[1] != 1)):
            shape = "(B, 1, H, W)" if self.layout == "NHW" else "(B, C, H, W)"
            raise ValueError(f"y must be {shape} for layout={self.layout!r}, got {describe(y)}")
        if self.layout == "NHWC":
            images = images.movedim(1, -1)
        elif self.layout == "NHW":
            images = images[:, 0]
        low, high = self.pixel_range
        values = low + images.double().numpy() * (high - low)
        if self.dtype.kind == "u":
            values = np.clip(np.rint(values), low, high)
        return np.ascontiguousarray(values.astype(self.dtype))

    def _as_tensor(self, restored: Array, y: Tensor) -> Tensor:
        low, high = self.pixel_range
        images = torch.from_numpy(np.ascontiguousarray((restored.astype(np.float64) - low) / (high - low)))
        if self.layout == "NHW" or (self.layout == "NHWC" and images.ndim == y.ndim - 1):
            images = images[:, None]  # OpenCV drops the axis of a single channel
        elif self.layout == "NHWC":
            images = images.movedim(-1, 1)
        return images.to(y.device, y.dtype)

    def _running(self) -> ProcessPoolExecutor:
        """The worker processes, started once and ended with this object."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self.workers, multiprocessing.get_context("spawn"))
            weakref.finalize(self, self._pool.shutdown, wait=False, cancel_futures=True)
        return self._pool

    def __getstate__(self) -> dict[str, Any]:
        """A copy starts workers of its own."""
        return self.__dict__ | {"_pool": None}

    def __repr__(self) -> str:
        """G and the settings."""
        name = getattr(self.G, "__qualname__", repr(self.G))
        return (
            f"BlackBox({name}, layout={self.layout!r}, pixel_range={self.pixel_range}, dtype={self.dtype.name!r}, "
            f"batched={self.batched}, seed={self.seed!r})"
        )


def _restored(G: Callable[..., Any], argument: str | None, image: Array, seed: int | None) -> Any:
    """One call of G; at the top of the module, where worker processes find it."""
    if argument is None:
        return G(image)
    return G(image, **{argument: seed if argument in INTEGER_SEEDS else np.random.default_rng(seed)})


def _integers(y: Tensor, generator: torch.Generator | None) -> Tensor:
    """A seed per image that numpy's generators, old and new, take: below 2^32."""
    device = torch.device("cpu") if generator is None else generator.device
    return torch.randint(2**32, (len(y),), generator=generator, device=device).to(y.device)


def _as_array(value: Any) -> Array:
    """An array from numpy, DLPack or nested numbers; a list of one array, as ONNX Runtime returns, is that array."""
    if isinstance(value, list | tuple) and len(value) == 1 and hasattr(value[0], "ndim"):
        value = value[0]
    if isinstance(value, Tensor):
        value = value.detach().cpu()
    elif hasattr(value, "__dlpack__") and not isinstance(value, np.ndarray):
        value = torch.utils.dlpack.from_dlpack(value).cpu()
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise TypeError(f"G must return an array of real numbers, got {array.dtype}")
    return array


def _check_pixel_range(pixel_range: Sequence[float], dtype: np.dtype[Any]) -> tuple[float, float]:
    """Two increasing numbers that the dtype holds."""
    if not isinstance(pixel_range, tuple | list) or len(pixel_range) != 2:
        raise TypeError(f"pixel_range must be (black, white), got {describe(pixel_range)}")
    low, high = (check_real("pixel_range", value) for value in pixel_range)
    if not low < high:
        raise ValueError(f"pixel_range must increase, got {pixel_range!r}")
    if dtype.kind == "u":
        most = float(np.iinfo(dtype).max)
        if low < 0 or high > most or high - low < 2:
            raise ValueError(
                f"pixel_range must be in integers for dtype={dtype.name!r}, (0, {most:g}), got {(low, high)}"
            )
    return low, high
