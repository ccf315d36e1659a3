"""Features of the FID's Inception-v3, by presets that say whose number they give; the weights are read from a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stochrobust._arguments import check_choice, describe
from stochrobust._files import load_verified
from stochrobust.metrics._inception_network import InceptionNetwork
from stochrobust.metrics._resize import resize_tf1
from stochrobust.metrics.extractors import ModuleFeatures

# One file, byte for byte, published under two names: a conversion of the TensorFlow graph of 2015-12-05.
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
_RELEASES = {
    "weights-inception-2015-12-05-6726825d.pth": "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/",
    "pt_inception-2015-12-05-6726825d.pth": "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/",
}
_SIZE = 299


class InceptionFeatures(ModuleFeatures):
    """The 2048 features at the last pooling of the FID's Inception-v3, in float32.

    Two presets, because two implementations that are both called FID resize otherwise, and their distances do not
    compare:

    ``"paper"``
        What piq computes, and so the paper: floating-point images in [0, 1], resized by
        ``interpolate(..., mode="bilinear", align_corners=False, antialias=False)``, then ``2x - 1``.
    ``"tf"``
        What TensorFlow 1's original and torch-fidelity compute: 8-bit images, resized bilinearly with the corners of
        the pixels, not their centres, on each other, then ``(x - 128) / 128``.

    The weights are read when an extractor is made, from a file that you have downloaded; nothing is ever fetched. A
    call of the extractor is one of :class:`ModuleFeatures`, with what that says of checks, devices and modes.

    Args:
        preset: "paper" or "tf".
        weights: path of ``weights-inception-2015-12-05-6726825d.pth`` (torch-fidelity's release v0.2.0) or of
            ``pt_inception-2015-12-05-6726825d.pth`` (pytorch-fid's), which are one file. By default it is looked for,
            under both names, where those libraries keep it: in ``checkpoints`` of ``torch.hub.get_dir()``.

    Raises:
        FileNotFoundError: if there is no such file; says where it was looked for and where to find it.
        ValueError: if the file is another one, told by SHA-256, or there is no such preset.

    Example:
        >>> extractor = InceptionFeatures("paper")  # doctest: +SKIP
        >>> real = extract_features(photographs, extractor)  # doctest: +SKIP

    Source:
        C. Szegedy et al., Rethinking the Inception Architecture for Computer Vision, CVPR 2016, as in the graph of
        2015-12-05 that M. Heusel et al., NeurIPS 2017, chose for the FID; Ohayon et al., ICML 2023, Appendix E.2.5.
    """

    def __init__(self, preset: str, *, weights: str | os.PathLike[str] | None = None) -> None:
        chosen = _PRESETS[check_choice("preset", preset, tuple(_PRESETS))]
        network = _load_network(_find_weights(weights))
        super().__init__(
            _Prepared(chosen.prepare, network),
            name="Inception-v3 (FID, 2015-12-05), pool 2048",
            data_range=chosen.data_range,
            preprocessing=chosen.preprocessing,
            weights=SHA256,
        )


class _Prepared(nn.Module):
    """A network after the preset's resizing and scaling, done in the dtype of its weights."""

    def __init__(self, prepare: Callable[[Tensor], Tensor], network: nn.Module) -> None:
        super().__init__()
        self.prepare = prepare
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        dtype = next(self.network.parameters()).dtype
        features: Tensor = self.network(self.prepare(images.to(dtype)))
        return features


def _prepare_paper(images: Tensor) -> Tensor:
    resized = F.interpolate(images, (_SIZE, _SIZE), mode="bilinear", align_corners=False, antialias=False)
    return 2 * resized - 1


def _prepare_tf(images: Tensor) -> Tensor:
    return (resize_tf1(images, _SIZE) - 128) / 128


class _Preset(NamedTuple):
    prepare: Callable[[Tensor], Tensor]
    data_range: tuple[float, float] | torch.dtype
    preprocessing: str


_PRESETS = {
    "paper": _Preset(_prepare_paper, (0.0, 1.0), "bilinear to 299 x 299, pixel centres aligned, no antialias, 2x - 1"),
    "tf": _Preset(_prepare_tf, torch.uint8, "bilinear to 299 x 299, pixel corners aligned (TF 1), (x - 128) / 128"),
}


def _find_weights(weights: str | os.PathLike[str] | None) -> Path:
    """The file given, or the first of the two names in torch.hub's cache."""
    if not isinstance(weights, str | os.PathLike | None):
        raise TypeError(f"weights must be a path, got {describe(weights)}")
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    candidates = [folder / name for name in _RELEASES] if weights is None else [Path(weights)]
    for path in candidates:
        if path.is_file():
            return path
    looked = " and ".join(map(str, candidates))
    urls = " or ".join(release + name for name, release in _RELEASES.items())
    raise FileNotFoundError(
        f"weights of the FID's Inception-v3 not found: looked for {looked}. Download {urls} (one file under two "
        f"names) into {folder}, or pass the path of your copy as weights="
    )


def _load_network(path: Path) -> InceptionNetwork:
    """The network with the weights of a verified file; torch's generators are not drawn from."""
    state = load_verified(path, SHA256)
    trunk = {name: value for name, value in state.items() if not name.startswith("fc.")}  # the classifier
    with torch.device("meta"):
        network = InceptionNetwork()
    network.load_state_dict(trunk, assign=True)
    return network.requires_grad_(False).eval()
