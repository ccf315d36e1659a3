"""The ruler: a small classifier of Fashion-MNIST whose layer before the last stands for what an image shows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from reference_experiments.networks.weights import with_weights
from reference_experiments.ruler.presets import N_CLASSES, ClassifierTraining
from reference_experiments.runs import write_atomically
from stochrobust import ModuleFeatures

WEIGHTS = Path(__file__).with_name("classifier.safetensors")
SHA256 = "0543b19b0778a4e3f0eb32a3e6185aed6b76809c4c8d90438ee0a1b6ad2e7ee1"
"""Of the stored weights."""


class Classifier(nn.Module):
    """(N, 1, 32, 32) in [0, 1] -> (N, 10) logits; three convolutions and two full layers, 155,786 parameters."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((1, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 4 * 4, 128), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(128, N_CLASSES))

    def forward(self, images: Tensor) -> Tensor:
        """The logits."""
        logits: Tensor = self.head(self.body(images))
        return logits


def train_classifier(
    images: Tensor,
    labels: Tensor,
    settings: ClassifierTraining,
    seed: int = 0,
    progress: Callable[[int, float], None] = lambda epoch, loss: None,
) -> Classifier:
    """Train on (N, 1, 32, 32) 8-bit images and their classes (N,); ``progress(epoch, mean loss)`` after each epoch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Classifier(settings.dropout).train()
        optimizer = torch.optim.Adam(model.parameters(), settings.lr)
        steps = settings.epochs * -(-len(images) // settings.batch)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for epoch in range(settings.epochs):
            total = 0.0
            for chosen in torch.randperm(len(images)).split(settings.batch):
                clean = images[chosen].float() / 255
                sigma = settings.noisy * torch.rand(len(chosen), 1, 1, 1)
                loss = cross_entropy(model((clean + sigma * torch.randn_like(clean)).clamp(0, 1)), labels[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                total += loss.item() * len(chosen)
            progress(epoch + 1, total / len(images))
    return model.eval()


@torch.no_grad()
def accuracy(model: Classifier, images: Tensor, labels: Tensor) -> float:
    """Share of 8-bit images whose class the model names."""
    right = [(model(some.float() / 255).argmax(1) == of).sum() for some, of in zip(
        images.split(1000), labels.split(1000), strict=True
    )]  # fmt: skip
    return float(sum(right)) / len(images)


def save_classifier(model: Classifier, settings: ClassifierTraining, path: Path) -> str:
    """Write the weights with the settings they were trained with; the file's SHA-256."""
    from safetensors.torch import save

    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    content = save(tensors, {"training": json.dumps(asdict(settings))})
    write_atomically(path, content)
    return hashlib.sha256(content).hexdigest()


def load_classifier(path: Path = WEIGHTS, sha256: str = SHA256) -> Classifier:
    """The stored classifier, in eval mode.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not the file of that checksum.
    """
    from safetensors.torch import load

    content = path.read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise ValueError(f"{path} must have SHA-256 {sha256}, got {found}")
    return with_weights(Classifier(), load(content), "the classifier's weights", str(path)).eval()


def fashion_features(model: Classifier | None = None) -> ModuleFeatures:
    """The 128 features of (N, 1, 32, 32) images in [0, 1]: what the layer before the last makes of them."""
    model = load_classifier() if model is None else model
    return ModuleFeatures(model.body, name="Fashion-MNIST classifier, layer of 128", channels=1)
