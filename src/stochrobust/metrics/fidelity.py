"""Features by torch-fidelity's registry of extractors: Inception, VGG16, CLIP, DINOv2 and what else is registered."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from stochrobust._arguments import check_choice
from stochrobust.metrics.extractors import ModuleFeatures


class TorchFidelityFeatures(ModuleFeatures):
    """An extractor of torch-fidelity by its name there, with the protocol filled in.

    Its images are 8-bit, 3 channels, of any size; how they are resized and scaled is its own part, and named in the
    protocol by the version of torch-fidelity. torch-fidelity fetches weights that its cache does not have. A call of
    the extractor is one of :class:`ModuleFeatures`, with what that says of checks, devices and modes. Needs the extra
    ``stochrobust[fidelity]``.

    Args:
        name: in ``torch_fidelity.registry``: "inception-v3-compat", "vgg16", "clip-vit-b-32", "dinov2-vit-b-14", ...
        feature: which of its features, by default the one that torch-fidelity takes for the FID.
        options: of ``torch_fidelity.utils.create_feature_extractor``, such as ``feature_extractor_weights_path``.

    Raises:
        ImportError: if torch-fidelity is not installed.
        ValueError: if there is no such name, or no such feature.

    Example:
        >>> extractor = TorchFidelityFeatures("dinov2-vit-b-14")  # doctest: +SKIP
        >>> real = extract_features(photographs, extractor)  # doctest: +SKIP

    Source: A. Obukhov et al., High-fidelity performance metrics for generative models in PyTorch, 2020.
    """

    def __init__(self, name: str, feature: str | None = None, **options: Any) -> None:
        try:
            import torch_fidelity
            from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY as REGISTRY
            from torch_fidelity.utils import create_feature_extractor
        except ImportError as error:
            raise ImportError(
                "TorchFidelityFeatures needs torch-fidelity: pip install stochrobust[fidelity]"
            ) from error
        kind = REGISTRY[check_choice("name", name, tuple(REGISTRY))]
        feature = kind.get_default_feature_layer_for_metric("fid") if feature is None else feature
        check_choice("feature", feature, tuple(kind.get_provided_features_list()))
        with torch.random.fork_rng(devices=[]):  # a network is drawn before its weights are read
            network = create_feature_extractor(name, [feature], cuda=False, **{"verbose": False, **options})
        super().__init__(
            _OneFeature(network),
            name=f"{name}, {feature}",
            data_range=torch.uint8,
            preprocessing=f"torch-fidelity {torch_fidelity.__version__}",
        )


class _OneFeature(nn.Module):
    """The one feature that is asked for, as a matrix."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        (features,) = self.network(images)
        rows: Tensor = features.flatten(1)
        return rows
