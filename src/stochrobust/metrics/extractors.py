"""From images to features: what an extractor is, any module as one, and sets of features in batches."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeAlias

import torch
from torch import Tensor, nn

from stochrobust._arguments import check_count, check_declared_images, check_range, describe
from stochrobust._files import module_digest
from stochrobust.estimators.contract import module_of
from stochrobust.metrics.features import Features, gather_features
from stochrobust.metrics.protocol import Protocol

# A whole set, or its batches one after another; a batch may be a tuple or list whose first member is the images.
ImageSet: TypeAlias = Tensor | Iterable[Tensor | tuple[Any, ...] | list[Any]]


class FeatureExtractor(typing.Protocol):
    """Anything that makes features of images: called with ``(N, C, H, W)`` images it returns ``(N, d)`` features.

    It checks that the images are what it expects, and ``protocol`` says how to repeat it: two extractors that give
    different features must have different protocols. :class:`ModuleFeatures` makes one of any module or function.

    Example:
        >>> class MeanColour:
        ...     protocol = Protocol(extractor="mean colour", data_range=(0.0, 1.0))
        ...
        ...     def __call__(self, images):
        ...         return images.clamp(0, 1).mean((2, 3))
        >>> extract_features(torch.rand(5, 3, 8, 8), MeanColour()).values.shape
        torch.Size([5, 3])
    """

    @property
    def protocol(self) -> Protocol: ...

    def __call__(self, images: Tensor, /) -> Tensor: ...


class ModuleFeatures:
    """Any module or function ``images -> (N, d)`` as a feature extractor that declares its images and its weights.

    A call checks the images, moves them to the device (and, unless they are 8-bit, casts them to the dtype) of the
    weights, and runs the module in evaluation mode, each submodule's mode being restored, and without autocast.
    Gradients pass. The module itself is held, not a copy: what is trained on has new weights and so a new protocol.

    Args:
        function: a module, a method of one or a partial over one, or a plain function.
        name: of the extractor, as a reader would look it up.
        data_range: lowest and highest value of the floating-point images that the function expects; or
            ``torch.uint8`` for 8-bit images of 0 to 255.
        channels: number of channels that the function expects.
        preprocessing: what the function does to an image first: resizing, scaling; for the reader.
        weights: what tells these weights from others. By default SHA-256 over names, dtypes, shapes and bytes of the
            module's parameters and buffers, computed whenever the protocol is asked for. Must be given for a plain
            function, whose weights cannot be seen: the empty string if it has none.

    Raises:
        TypeError: if ``function`` is not callable, or ``data_range`` is neither a pair of numbers nor ``torch.uint8``;
            when called: if the images are no tensor, or 8-bit where floating-point ones are expected, or the reverse.
        ValueError: if ``name`` is empty, ``data_range`` is not increasing, or ``weights`` is missing; when called:
            if the images are not ``(N, channels, H, W)`` or have values, NaN included, outside ``data_range``.
            The comparison is strict: clamp what rounding has carried outside.

    Example:
        >>> import torch
        >>> extractor = ModuleFeatures(lambda images: images.mean((2, 3)), name="mean colour", weights="")
        >>> extractor(torch.ones(2, 3, 8, 8))
        tensor([[1., 1., 1.],
                [1., 1., 1.]])
        >>> extractor(2 * torch.ones(2, 3, 8, 8))
        Traceback (most recent call last):
        ...
        ValueError: images must have values in [0.0, 1.0], got 2.0 to 2.0: clamp or rescale them
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        *,
        name: str,
        data_range: tuple[float, float] | torch.dtype = (0.0, 1.0),
        channels: int = 3,
        preprocessing: str = "",
        weights: str | None = None,
    ) -> None:
        if not callable(function):
            raise TypeError(f"function must be a module or a function of images, got {describe(function)}")
        if not isinstance(name, str) or not name:
            raise ValueError(f"name must be a non-empty string, got {name!r}")
        if not isinstance(preprocessing, str):
            raise TypeError(f"preprocessing must be a string, got {describe(preprocessing)}")
        if not isinstance(weights, str | None):
            raise TypeError(f"weights must be a string, got {describe(weights)}")
        self.function = function
        self.module = module_of(function)
        if weights is None and self.module is None:
            raise ValueError("weights must be given for a plain function: what tells them from others, or '' if none")
        self.name = name
        self.uint8 = isinstance(data_range, torch.dtype) and data_range == torch.uint8
        self.data_range = check_range((0, 255) if self.uint8 else data_range)
        self.channels = check_count("channels", channels)
        self.preprocessing = preprocessing
        self.weights = weights

    @property
    def protocol(self) -> Protocol:
        """How to repeat these features."""
        weights = module_digest(self.module) if self.weights is None and self.module is not None else self.weights or ""
        preprocessing = ", ".join(filter(None, ["8-bit" if self.uint8 else "", self.preprocessing]))
        return Protocol(self.name, weights, preprocessing, self.data_range)

    def to(self, device: torch.device | str | int) -> Self:
        """Moves the module, in place, and with it the images to come."""
        if self.module is not None:
            self.module.to(device)
        return self

    def __call__(self, images: Tensor) -> Tensor:
        """``(N, channels, H, W)`` images to ``(N, d)`` features."""
        check_declared_images(images, self.data_range, self.channels, uint8=self.uint8)
        weight = _first_weight(self.module)
        if weight is not None:
            images = images.to(weight.device, images.dtype if self.uint8 else weight.dtype)
        with _measuring(self.module, images):
            return self.function(images)


def check_extractor(extractor: object) -> Protocol:
    """The protocol of an extractor, which is one."""
    protocol = getattr(extractor, "protocol", None)
    if not isinstance(protocol, Protocol) or not callable(extractor):
        raise TypeError(f"extractor must have a protocol, as ModuleFeatures(...) has, got {type(extractor).__name__}")
    return protocol


def extract_features(images: ImageSet, extractor: FeatureExtractor, *, batch_size: int = 64) -> Features:
    """The features of a set of images, with the protocol that they were made by.

    The images are read batch by batch and let go: what grows with their number is the features alone. No gradient. If
    the extractor is a module, it is in evaluation mode for each batch and left as it was found; there is no autocast.
    The iterable itself runs as it would outside.

    The result does not depend on ``batch_size`` but for rounding: with another number of images per call, torch may
    choose another kernel. On a GPU, torch rounds the products of convolutions to TF32 unless
    ``torch.backends.cudnn.allow_tf32`` is switched off.

    Args:
        images: ``(N, C, H, W)``, of the extractor's range; or an iterable of such batches, of any sizes: a list, a
            generator, a ``DataLoader``. Of a batch that is a tuple or a list, the first member.
        extractor: a :class:`FeatureExtractor`, for example :class:`ModuleFeatures`.
        batch_size: largest number of images per call of the extractor; a larger batch is split.

    Returns:
        :class:`Features`, ``(N, d)``, in the order of the images, on the extractor's device and in its dtype.

    Raises:
        TypeError: if ``images`` or a batch is not made of tensors, or ``extractor`` has no protocol.
        ValueError: if there are no images, they are not what the extractor expects, or it does not return ``(N, d)``.

    Example:
        >>> import torch
        >>> extractor = ModuleFeatures(lambda images: images.mean((2, 3)), name="mean colour", weights="")
        >>> features = extract_features((torch.rand(4, 3, 8, 8) for _ in range(5)), extractor)
        >>> features.values.shape, features.protocol.extractor
        (torch.Size([20, 3]), 'mean colour')
    """
    size = check_count("batch_size", batch_size)
    protocol = check_extractor(extractor)
    parts = (part for batch in _image_batches(images) for part in batch.split(size))
    return gather_features("images", (Features(_extract(part, extractor), protocol) for part in parts))


def _image_batches(images: ImageSet) -> Iterator[Tensor]:
    if not isinstance(images, Iterable) or isinstance(images, str | bytes | dict):
        raise TypeError(f"images must be a torch.Tensor or batches of them, got {type(images).__name__}")
    for batch in [images] if isinstance(images, Tensor) else images:
        first = batch[0] if isinstance(batch, tuple | list) and batch else batch
        if not isinstance(first, Tensor):
            raise TypeError(f"images must come as batches of torch.Tensor, got {type(first).__name__}")
        if first.ndim != 4 or first.numel() == 0:
            raise ValueError(f"images must be (N, C, H, W) and not empty, got {describe(first)}")
        yield first


@torch.no_grad()
def _extract(images: Tensor, extractor: FeatureExtractor) -> Tensor:
    with _measuring(module_of(extractor), images):
        features = extractor(images)
    is_matrix = isinstance(features, Tensor) and features.ndim == 2 and features.is_floating_point()
    if not is_matrix or len(features) != len(images):
        got = describe(features) if isinstance(features, Tensor) else type(features).__name__
        raise ValueError(f"extractor must return (N, d) floating-point features of {len(images)} images, got {got}")
    # What is kept must be no view: of the images, of a buffer to be written again, or of all tokens where one is used.
    return features.clone()


@contextmanager
def _measuring(module: nn.Module | None, images: Tensor) -> Iterator[None]:
    """Within, the module is in evaluation mode, and no operation of the device of its weights is autocast."""
    modes = [] if module is None else [(layer, layer.training) for layer in module.modules()]
    weight = _first_weight(module)
    device = images.device if weight is None else weight.device
    try:
        for layer, _ in modes:
            layer.training = False
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for layer, training in modes:
            layer.training = training


def _first_weight(module: nn.Module | None) -> Tensor | None:
    """The parameter, or else buffer, whose device and dtype the images must have."""
    tensors = () if module is None else (*module.parameters(), *module.buffers())
    return next((tensor for tensor in tensors if tensor.is_floating_point()), None)
