"""The ruler and its gate, from the files of Fashion-MNIST to the numbers of real images against real images."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from reference_experiments.data import fashion
from reference_experiments.data.arrays import Part
from reference_experiments.ruler.classifier import (
    SHA256,
    WEIGHTS,
    accuracy,
    fashion_features,
    load_classifier,
    save_classifier,
    train_classifier,
)
from reference_experiments.ruler.gate import Labelled, measured
from reference_experiments.ruler.presets import Gate
from reference_experiments.study import Place, Results
from stochrobust import ModuleFeatures


def run(settings: Gate, place: Place) -> tuple[Results, None]:
    """Train the classifier, or take the stored one, and send its features and raw pixels through the gate."""
    sets = {part: labelled(place.data or fashion.DEBIAN, part) for part in fashion.FILES}
    train, validation = sets["train"], sets["validation"]
    model, sha256 = load_classifier(), SHA256
    if settings.retrain:
        model = train_classifier(train.images, train.labels, settings.training, place.seed)
        sha256 = save_classifier(model, settings.training, place.runs / WEIGHTS.name)
    rulers = {"features": fashion_features(model), "pixels": pixels()}
    classifier = {part: accuracy(model, of.images, of.labels) for part, of in sets.items()}
    return {
        "settings": asdict(settings),
        "classifier": {"sha256": sha256, "accuracy": classifier},
        "rows": {name: measured(validation, train, of, settings, place.seed) for name, of in rulers.items()},
        "protocols": {name: asdict(of.protocol) for name, of in rulers.items()},
    }, None


def labelled(folder: Path, part: Part, any_count: bool = False) -> Labelled:
    """The images of a part with their classes."""
    images, _ = fashion.images(folder, part, any_count)
    labels = fashion.labels(folder, part, any_count)
    return Labelled(torch.from_numpy(images.copy()), torch.from_numpy(labels.copy()).long())


def pixels() -> ModuleFeatures:
    """Raw pixels as features."""
    return ModuleFeatures(lambda images: images.flatten(1), name="raw pixels", channels=1, weights="")
