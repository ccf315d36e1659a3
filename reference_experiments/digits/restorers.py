"""The demo's four trained GANs as restorers of images: files of weights, and factories that need no arguments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from torch import Tensor, nn

from reference_experiments.arms import Arm
from reference_experiments.digits.data import SIDE
from reference_experiments.digits.training import DigitTraining, build_estimator
from reference_experiments.networks.weights import with_weights
from reference_experiments.runs import write_atomically
from stochrobust import Consistent

MODELS = Path(__file__).parents[1] / "results" / "demo" / "models"
"""Those that ``python -m reference_experiments demo`` left."""


class DigitRestorer(nn.Module):
    """``G(y, z)`` or ``G(y)`` for images: (N, 1, 8, 8) with the bottom quarter observed to (N, 1, 8, 8) in [0, 1].

    Args:
        G: the estimator of flat digits.
    """

    def __init__(self, G: Consistent) -> None:
        super().__init__()
        self.G = G
        if hasattr(G, "sample_z"):
            self.sample_z = G.sample_z

    def forward(self, y: Tensor, *seeds: Tensor) -> Tensor:
        """The output of the estimator of flat digits, as images."""
        output: Tensor = self.G(y.flatten(1), *seeds)
        return output.reshape(-1, 1, SIDE, SIDE)


def save_weights(folder: Path, arm: Arm, weights: Mapping[str, Tensor], training: DigitTraining) -> None:
    """Write the weights of a trained estimator atomically, with the settings it was trained with.

    Args:
        folder: made if it is not there.
        arm: names the file.
        weights: the ``state_dict()`` of what :func:`build_estimator` makes.
        training: the settings, which say how large the network is.
    """
    from safetensors.torch import save

    tensors = {name: value.contiguous() for name, value in weights.items()}
    write_atomically(_path(folder, arm), save(tensors, {"training": json.dumps(asdict(training))}))


def load_restorer(arm: Arm, folder: Path = MODELS) -> DigitRestorer:
    """A trained model in eval mode.

    Args:
        arm: which of the four.
        folder: where :func:`save_weights` wrote it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file does not hold the weights of the network that it describes.
    """
    from safetensors import safe_open

    path = _path(folder, arm)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file: `python -m reference_experiments demo` writes it")
    with safe_open(path, "pt") as file:
        training = DigitTraining(**json.loads(file.metadata()["training"]))
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    G = with_weights(build_estimator(training, arm), weights, f"the {arm.name} GAN", str(path))
    return DigitRestorer(G).eval()


def _path(folder: Path, arm: Arm) -> Path:
    return folder / f"{arm.folder}.safetensors"


def stochastic_erratic() -> DigitRestorer:
    """With seeds, without the robustness loss."""
    return load_restorer(Arm(stochastic=True, robust=False))


def stochastic_robust() -> DigitRestorer:
    """With seeds and with the robustness loss."""
    return load_restorer(Arm(stochastic=True, robust=True))


def deterministic_erratic() -> DigitRestorer:
    """Without seeds, without the robustness loss."""
    return load_restorer(Arm(stochastic=False, robust=False))


def deterministic_robust() -> DigitRestorer:
    """Without seeds, with the robustness loss."""
    return load_restorer(Arm(stochastic=False, robust=True))
