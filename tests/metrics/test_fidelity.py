"""Extractors of torch-fidelity's registry as ours; here a small one is registered, since weights are not at hand."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from stochrobust import TorchFidelityFeatures, extract_features

IMAGES = torch.randint(256, (5, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


@pytest.fixture
def network() -> Iterator[Any]:
    """Registered as "small": two features, drawn weights."""
    fidelity = pytest.importorskip("torch_fidelity")

    class Small(fidelity.FeatureExtractorBase):  # type: ignore[misc, name-defined]
        def __init__(self, name: str, features: list[str], **options: Any) -> None:
            super().__init__(name, features)
            self.convolution = torch.nn.Conv2d(3, 4, 3)

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return "mean", "all"

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return {"fid": "mean"}[metric]

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        def forward(self, images: Tensor) -> tuple[Tensor, ...]:
            maps = self.convolution(images.float() / 255)
            return tuple({"mean": maps.mean((2, 3)), "all": maps}[name] for name in self.features_list)

    registry = fidelity.registry.FEATURE_EXTRACTORS_REGISTRY
    with mock.patch.dict(registry, {"small": Small}):
        yield Small


@pytest.mark.usefixtures("network")
def test_its_features_and_its_protocol() -> None:
    state = torch.get_rng_state()
    extractor = TorchFidelityFeatures("small")
    assert torch.equal(torch.get_rng_state(), state)
    found = extract_features(IMAGES, extractor, batch_size=2)
    module: Any = extractor.module
    network = module.network
    torch.testing.assert_close(found.values, network(IMAGES)[0])
    assert found.protocol.extractor == "small, mean"
    assert found.protocol.preprocessing.startswith("8-bit, torch-fidelity ")
    assert len(found.protocol.weights) == 64
    assert not network.training
    assert TorchFidelityFeatures("small").protocol == found.protocol
    torch.manual_seed(1)
    assert TorchFidelityFeatures("small").protocol.weights != found.protocol.weights, "other weights were drawn"
    assert extract_features(IMAGES, TorchFidelityFeatures("small", "all")).values.shape == (5, 4 * 6 * 6)
    with pytest.raises(TypeError, match="images must be 8-bit"):
        extractor(IMAGES / 255)


@pytest.mark.usefixtures("network")
def test_errors() -> None:
    with pytest.raises(ValueError, match=r"name must be one of .*'small', got 'large'"):
        TorchFidelityFeatures("large")
    with pytest.raises(ValueError, match="feature must be one of 'mean', 'all', got 'median'"):
        TorchFidelityFeatures("small", "median")


def test_without_torch_fidelity() -> None:
    without = mock.patch.dict(sys.modules, {"torch_fidelity": None})
    with without, pytest.raises(ImportError, match=r"pip install stochrobust\[fidelity\]"):
        TorchFidelityFeatures("vgg16")
