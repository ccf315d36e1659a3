"""The presets of InceptionFeatures against the libraries they are named for, which need torchvision: `nox -s peers`.

All with the same random weights: torch-fidelity reads their file, piq is handed them where it would download.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stochrobust.metrics import inception
from stochrobust.metrics._resize import resize_tf1
from stochrobust.metrics.extractors import extract_features
from stochrobust.metrics.inception import InceptionFeatures
from tests.metrics.test_inception import SHAPES_SHA256, picture, published_shapes, random_state, saved

SHAPES = [(32, 32), (64, 64), (299, 299), (431, 350)]


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    path = tmp_path_factory.mktemp("weights") / "weights-inception-2015-12-05-6726825d.pth"
    yield path, saved(random_state(), path)
    path.unlink()  # pytest would keep the 87 MB of the last three runs


@pytest.fixture
def weights(random_weights: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    path, digest = random_weights
    monkeypatch.setattr(inception, "SHA256", digest)
    return path


def of_torch_fidelity(path: Path) -> Any:
    extractors = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    return extractors.FeatureExtractorInceptionV3("mine", ["2048"], feature_extractor_weights_path=str(path))


def of_piq(path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    networks = pytest.importorskip("piq.feature_extractors.fid_inception")
    monkeypatch.setattr(networks, "load_state_dict_from_url", lambda *_, **__: torch.load(path, weights_only=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's: deprecated arguments
        return networks.InceptionV3().eval()


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("shape", SHAPES)
def test_tf_is_torch_fidelitys(weights: Path, shape: tuple[int, int]) -> None:
    images = picture(*shape)
    with torch.no_grad():
        (expected,) = of_torch_fidelity(weights)(images)
    assert relative(extract_features(images, InceptionFeatures("tf", weights=weights)).values, expected) < 1e-5


@pytest.mark.parametrize("shape", SHAPES)
def test_paper_is_piqs(weights: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]) -> None:
    images = picture(*shape) / 255
    with torch.no_grad():
        (expected,) = of_piq(weights, monkeypatch)(images)
    features = extract_features(images, InceptionFeatures("paper", weights=weights)).values
    assert relative(features, expected.flatten(1)) < 1e-5


def test_the_two_are_not_one(weights: Path) -> None:
    """Their distances do not compare: the same pictures lie this far apart."""
    images = picture(64, 64)
    paper = extract_features(images / 255, InceptionFeatures("paper", weights=weights)).values
    assert relative(extract_features(images, InceptionFeatures("tf", weights=weights)).values, paper) > 0.01


@pytest.mark.parametrize("shape", [*SHAPES, (1, 1), (13, 598), (600, 7)])
def test_tensorflows_resizing_to_the_last_bit(shape: tuple[int, int]) -> None:
    resizing = pytest.importorskip("torch_fidelity.interpolate_compat_tensorflow")
    images = picture(*shape).float()
    expected = resizing.interpolate_bilinear_2d_like_tensorflow1x(images, size=(299, 299), align_corners=False)
    assert torch.equal(resize_tf1(images, 299), expected)


def test_the_published_names_and_shapes(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both libraries load the published file strictly, so theirs are the names in it."""
    networks = pytest.importorskip("piq.feature_extractors.fid_inception")
    monkeypatch.setattr(networks, "load_state_dict_from_url", lambda *_, **__: torch.load(weights, weights_only=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = networks.InceptionV3.fid_inception_v3()
    for network in (of_torch_fidelity(weights), theirs):
        shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        assert shapes == published_shapes()
    lines = "".join(f"{name} {shape}\n" for name, shape in sorted(shapes.items()))
    assert hashlib.sha256(lines.encode()).hexdigest() == SHAPES_SHA256
