"""Somebody's factories, as a command line names them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from stochrobust.cli.factory import call_factory as made
from stochrobust.cli.factory import check_runs, is_factory, made_model

HERE = "tests.cli.test_factory"
Y = torch.ones(1, 1, 2, 2)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def sample_z(self, y: Tensor, generator: torch.Generator | None) -> Tensor:
        return torch.randn(y.shape, generator=generator)

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        return self.scale * y + z


def by_name(strength: float = 1.0, *, device: object = None) -> list[object]:
    return [strength, device]


def by_place(where: object, /) -> list[object]:
    return [where]


def without() -> list[object]:
    return ["nothing"]


def needing_a_word(*, word: str) -> str:
    return word


NUMBER = 3


def broken(y: Tensor) -> Tensor:
    raise IndexError("no such layer")


def make_broken() -> object:
    return broken


@pytest.mark.parametrize(
    ("spec", "form"),
    [
        ("a:b", True),
        ("a.b:c.d", True),
        ("a", False),
        ("C:\\data", False),
        (":b", False),
        ("a:", False),
        ("a/b:c", False),
    ],
)
def test_the_form_of_a_factory(spec: str, form: bool) -> None:
    assert is_factory(spec) == form


def test_a_factory_gets_the_device_if_it_takes_one() -> None:
    device = torch.device("meta")
    assert made(f"{HERE}:by_name", "meta") == [1.0, device]
    assert made(f"{HERE}:by_place", "meta") == [device]
    assert made(f"{HERE}:without", "meta") == ["nothing"]


def test_a_model_is_put_on_the_device_in_eval_mode() -> None:
    G = made_model(f"{HERE}:Model", "meta")
    assert isinstance(G, Model)
    assert G.scale.device.type == "meta"
    assert not G.training


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nonsense", "model must be module:factory, got 'nonsense'"),
        ("no_such_module:factory", "model 'no_such_module:factory' cannot be imported: No module named"),
        (f"{HERE}:absent", "cannot be imported: .*absent"),
        (f"{HERE}:NUMBER", "must name a function or a class, got <class 'int'>"),
        (f"{HERE}:without", "the factory must return a callable"),
    ],
)
def test_what_is_no_model_is_named(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made_model(spec)


def test_the_role_is_named() -> None:
    with pytest.raises(ValueError, match="data 'no_such_module:images' cannot be imported"):
        made("no_such_module:images", role="data")


def test_a_model_that_fails_is_named_with_the_place() -> None:
    with pytest.raises(
        ValueError, match=r"model 'm' fails at an input of \(1, 1, 2, 2\): IndexError: no such layer .*py:\d+\)"
    ):
        check_runs("m", broken, Y)
    with pytest.raises(ValueError, match=r"model 'm' must return a tensor, got <class 'list'>"):
        check_runs("m", lambda y: [y], Y)  # type: ignore[arg-type]


def test_a_model_is_tried_with_its_seeds_and_torchs_generator_stays() -> None:
    before = torch.get_rng_state()
    check_runs("m", Model(), Y)
    check_runs("m", lambda y: y, Y)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_module_of_the_callers_folder_is_found_by_the_executable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "of_this_folder.py").write_text("def made():\n    return abs\n")
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in ("", str(Path.cwd()))])
    monkeypatch.chdir(tmp_path)
    assert made("of_this_folder:made") is abs
