"""The strict reader of checkpoints: what it unwraps, what it refuses, and how it says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from reference_experiments.networks.weights import WRAPPERS, listed, read_weights, with_weights


@pytest.mark.parametrize("wrapper", [None, *WRAPPERS])
def test_tensors_are_found_under_the_wrappers_of_frameworks(tmp_path: Path, wrapper: str | None) -> None:
    path, weights = tmp_path / "a.pth", {"module.a": torch.ones(2), "b": torch.zeros(1)}
    torch.save(weights if wrapper is None else {wrapper: weights, "epoch": 3}, path)
    assert {name: tensor.tolist() for name, tensor in read_weights(path, "this").items()} == {"a": [1, 1], "b": [0]}


def test_the_averaged_tensors_are_preferred(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"params": {"a": torch.zeros(1)}, "params_ema": {"a": torch.ones(1)}}, path)
    assert read_weights(path, "this")["a"].tolist() == [1]


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    with pytest.raises(FileNotFoundError, match=r"a.pth is not a file: it should be this"):
        read_weights(path, "this")
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(ValueError, match=r"a.pth should be this, and cannot be read: "):
        read_weights(path, "this")
    torch.save(nn.Linear(1, 1), path)  # would run code
    with pytest.raises(ValueError, match=r"a.pth should be this, and cannot be read: "):
        read_weights(path, "this")
    torch.save([torch.ones(1)], path)
    with pytest.raises(ValueError, match=r"a.pth should be this: a mapping of names to tensors, got list"):
        read_weights(path, "this")
    torch.save({"a": torch.ones(1), "epoch": 3}, path)
    with pytest.raises(ValueError, match=r"a.pth should be this: a mapping of names to tensors, got dict"):
        read_weights(path, "this")


def test_the_model_keeps_its_dtype_and_leaves_train_mode() -> None:
    model = with_weights(nn.Linear(1, 1).double(), {"weight": torch.ones(1, 1), "bias": torch.ones(1)}, "It", "this")
    assert model.weight.dtype == torch.float64
    assert model.weight.item() == 1
    assert not model.training


def test_every_wrong_tensor_is_named() -> None:
    weights = {"weight": torch.ones(2, 1), "biases": torch.ones(1)}
    message = (
        r"^this does not hold It's weights: bias is missing; biases is unknown; weight must be \(1, 1\), got \(2, 1\)$"
    )
    with pytest.raises(ValueError, match=message):
        with_weights(nn.Linear(1, 1), weights, "It", "this")
    with pytest.raises(ValueError, match=r"weights: bias is not finite$"):
        with_weights(nn.Linear(1, 1), {"weight": torch.ones(1, 1), "bias": torch.ones(1) / 0}, "It", "this")


def test_many_are_listed_in_part() -> None:
    assert listed(["a", "b"], 2) == "a; b"
    assert listed(["a", "b", "c", "d"], 2) == "a; b; and 2 more"
