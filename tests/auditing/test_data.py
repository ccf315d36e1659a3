"""What an audit takes as data: forms of a batch, further inputs of G, and pairs that are not what they should be."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from stochrobust import AuditReport, AuditSettings, InpaintingProjector, audit
from stochrobust.auditing.data import Batch, read
from tests.auditing.restorers import PROJECTOR, noise, sources

X = sources(6)
Y = PROJECTOR.D(X)
FEW = AuditSettings(n_seeds=2, n_attacked=2, attack_seeds=1, k=1, radii=(), n_splits=2, n_examples=1)


def brighter(y: Tensor, z: Tensor, cond: Any) -> Tensor:
    bright: Tensor = PROJECTOR.pinv(y) * cond["gain"].view(-1, 1, 1, 1) + 0.01 * z
    return bright


def few(data: Any, **more: Any) -> AuditReport:
    return audit(brighter, data, eps=0.1, sample_z=noise, settings=FEW, projector=PROJECTOR, **more)


def test_a_mapping_names_its_parts_and_others_are_ignored() -> None:
    gain = torch.linspace(0.5, 1.0, 6)
    data = {"x": X, "y": Y, "cond": {"gain": gain}, "name": ["a"] * 6}
    whole = few(data)
    parts = few([{"x": X[i : i + 2], "y": Y[i : i + 2], "cond": {"gain": gain[i : i + 2]}} for i in (0, 2, 4)])
    made = few({"x": X, "cond": {"gain": gain}})
    for found in (parts, made):
        for name in ("psnr_sample", "robustness_strong", "amplification", "consistency"):
            assert found.per_input[name] == pytest.approx(whole.per_input[name], rel=1e-3)
    by_hand = audit(
        lambda y, z: brighter(y, z, {"gain": torch.full((len(y),), 0.5)}), X[:1], eps=0.1, sample_z=noise,
        settings=FEW, projector=PROJECTOR,
    )  # fmt: skip
    assert by_hand.per_input["psnr_sample"][0] == pytest.approx(whole.per_input["psnr_sample"][0], rel=1e-4)
    other = few(data | {"cond": {"gain": gain.flip(0)}})
    assert other.per_input["psnr_sample"] != whole.per_input["psnr_sample"]
    assert whole.per_input["amplification"] != other.per_input["amplification"]


def test_other_conditions_are_measured_anew(tmp_path: Any) -> None:
    found = [
        few({"x": X, "cond": {"gain": torch.cat([torch.full((5,), 0.9), last])}}, cache=tmp_path, max_batch=4)
        for last in (torch.tensor([0.9]), torch.tensor([0.5]))
    ]
    assert found[0].per_input["psnr_sample"][5] != found[1].per_input["psnr_sample"][5]


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([{"image": X, "label": torch.arange(6)}], ValueError, "got one with the keys 'image', 'label'"),
        ({"y": Y}, ValueError, "got one with the keys 'y'"),
        ([(X, torch.arange(6))], ValueError, "of images with labels, give the images alone"),
        ([(X, torch.rand(6))], ValueError, "of images with labels"),
        ([{"x": X, "cond": torch.rand(5)}], ValueError, "cond must have 6 rows"),
        (X[0], ValueError, "x must have 4 dimensions|x must be"),
        ((Y[0], X[0]), ValueError, "x must have 4 dimensions|x must be"),
        ("folder", TypeError, "data must be x"),
    ],
)
def test_the_error_of_a_wrong_batch_names_what_is_wanted(data: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        few(data)


@pytest.mark.parametrize("projector", [PROJECTOR, InpaintingProjector(torch.arange(4) > 1)])
def test_swapped_pairs_are_told(projector: Any) -> None:
    y = projector.D(X)
    assert next(read((y, X), projector, None, None)).paired
    with pytest.raises(ValueError, match="the two are swapped"):
        next(read((X, y), projector, None, None))
    next(read((X, X), InpaintingProjector(torch.ones(4, dtype=torch.bool)), None, None))  # both ways are right


def test_the_data_s_own_consistency_is_the_most_that_is_asked_for() -> None:
    generator = torch.Generator().manual_seed(1)
    y = Y + 0.02 * torch.randn(Y.shape, generator=generator)  # 34 dB, as another library's resize may have
    found = audit(lambda y: y.repeat_interleave(2, -1).repeat_interleave(2, -2) + 0.02, (y, X), eps=0.1,
                  settings=FEW, projector=PROJECTOR)  # fmt: skip
    assert found.numbers["data_consistency"].estimate == pytest.approx(34, abs=1)
    names = {verdict.name: verdict.level for verdict in found.verdicts}
    assert names["data of another D"] == "note"
    assert "inconsistent" not in names  # 34 dB, too, and nobody's fault
    worse = audit(lambda y: PROJECTOR.pinv(y) + 0.05, (y, X), eps=0.1, settings=FEW, projector=PROJECTOR)
    assert "inconsistent" in {verdict.name for verdict in worse.verdicts}
    exact = audit(PROJECTOR.pinv, (Y, X), eps=0.1, settings=FEW, projector=PROJECTOR)
    assert "data of another D" not in {verdict.name for verdict in exact.verdicts}
    assert "data_consistency" not in audit(PROJECTOR.pinv, X, eps=0.1, settings=FEW, projector=PROJECTOR).numbers


def test_parts_of_a_batch_keep_all_of_it() -> None:
    batch = Batch(3, Y, X, {"gain": torch.arange(6)}, paired=True)
    part = batch.part(2, 4)
    assert (part.first, len(part), part.paired, part.cond["gain"].tolist()) == (5, 2, True, [2, 3])
