"""How an audit runs: batches, memory, what it leaves behind, its cache, its reports, and mistakes of the caller."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stochrobust import (
    AttackWarning,
    AuditReport,
    AuditSettings,
    BlockAverageProjector,
    ModuleFeatures,
    SphereAscent,
    audit,
)
from stochrobust._files import write_checked
from stochrobust.auditing import totals
from stochrobust.auditing.measure import ATTACKS
from tests.auditing.restorers import PROJECTOR, SHAPE, Counting, Posterior, Scaled, gains, noise, sources

QUICK = AuditSettings(n_seeds=3, n_attacked=4, attack_seeds=2, k=2, radii=(), n_splits=2, n_examples=2)
X = sources(14)


def quick(G: Any, data: Any = X, **more: Any) -> AuditReport:
    arguments: dict[str, Any] = {"eps": 0.4, "projector": PROJECTOR, "settings": QUICK} | more
    return audit(G, data, **arguments)


def changed(**settings: Any) -> AuditSettings:
    return AuditSettings(**{**vars(QUICK), **settings})


@pytest.fixture(scope="module", autouse=True)
def _short_attack() -> Iterator[None]:
    """A strong attack of 5 gradients instead of 60: how much it finds is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ATTACKS, "strong", SphereAscent(steps=5))
        yield


@pytest.fixture(scope="module")
def report() -> AuditReport:
    return quick(Counting())


def estimates(report: AuditReport) -> dict[str, float]:
    return {name: number.estimate for name, number in report.numbers.items()}


# -- batches and memory ------------------------------------------------------------------------------------------------


DATA: dict[str, tuple[Any, dict[str, Any]]] = {
    "small calls": (X, {"max_batch": 3}),
    "calls of two inputs": (X, {"max_batch": 6}),
    "uneven batches": ([X[:1], X[1:6], X[6:]], {}),
    "a generator": ((part for part in X.split(4)), {"max_batch": 8}),
    "lists": ([[part] for part in X.split(7)], {}),
    "a pair": ((PROJECTOR.D(X), X), {"max_batch": 12}),
    "pairs": ([(PROJECTOR.D(part), part) for part in X.split(5)], {}),
}


@pytest.mark.parametrize(("data", "more"), DATA.values(), ids=DATA.keys())
def test_numbers_do_not_depend_on_the_batches(
    request: pytest.FixtureRequest, report: AuditReport, data: Any, more: dict[str, Any]
) -> None:
    found = quick(Counting(), data, **more)
    numbers = {name: value for name, value in estimates(found).items() if name != "data_consistency"}
    assert numbers == pytest.approx(estimates(report), rel=2e-4, abs=1e-5)
    assert ("data_consistency" in estimates(found)) is ("pair" in request.node.callspec.id)
    assert found.protocol["data"] == report.protocol["data"]
    assert found.ranks == pytest.approx(report.ranks, abs=0.01)
    assert [example.number for example in found.examples] == [0, 1]
    assert [example.number for example in found.worst] == [example.number for example in report.worst]


@pytest.mark.parametrize("max_batch", [1, 5, 9])
def test_no_call_gets_more_rows(max_batch: int) -> None:
    G = Counting()
    quick(G, X[:5], max_batch=max_batch)
    assert max_batch - 2 <= G.most <= max_batch


def test_without_a_limit_a_call_gets_as_many_rows_as_the_first_batch_has_inputs() -> None:
    G = Counting()
    quick(G, [X[:5], X[5:]])
    assert 4 <= G.most <= 5
    quick(G, X)
    assert G.most == 42  # all at once: 14 inputs with 3 seeds are below 64


def test_the_data_are_read_once_and_never_held() -> None:
    read = []

    def batches() -> Any:
        for part in X.split(2):
            read.append(len(part))
            yield part

    quick(Counting(), batches())
    assert read == [2] * 7


# -- what it leaves behind ---------------------------------------------------------------------------------------------


def test_everything_is_left_as_it_was_found() -> None:
    G = Counting(normalise=True).train()
    G.last.weight.requires_grad_(False)
    G.first.weight.grad = torch.ones_like(G.first.weight)
    before, state = copy.deepcopy(G.state_dict()), torch.get_rng_state()
    with pytest.warns(AttackWarning, match="G is in train mode, in which BatchNorm2d"):
        found = quick(G, max_batch=4)  # two groups of inputs are attacked
    assert all(torch.equal(before[name], value) for name, value in G.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(layer.training for layer in G.modules())
    assert not G.last.weight.requires_grad
    assert torch.equal(G.first.weight.grad, torch.ones_like(G.first.weight))
    assert any("depends on the other samples of the batch" in sentence for sentence in found.concerns)
    assert sum("depends on the other samples" in sentence for sentence in found.concerns) == 1
    assert not quick(G.eval()).concerns


def test_a_module_in_a_closure_is_guarded_and_told_by_its_weights_if_it_is_named() -> None:
    G = Counting(normalise=True)
    before = copy.deepcopy(G.state_dict())
    with pytest.warns(AttackWarning, match="train mode"):
        found = quick(lambda y, z: G(y, z), sample_z=noise, module=G)
    assert all(torch.equal(before[name], value) for name, value in G.state_dict().items())
    assert found.protocol["estimator"]["weights"]
    assert not quick(lambda y, z: G(y, z), sample_z=noise).protocol["estimator"]["weights"]
    assert all(torch.equal(before[name], value) for name, value in G.state_dict().items())  # not named, guarded too


def test_it_works_without_gradients_being_allowed(report: AuditReport) -> None:
    G = Counting()
    with torch.inference_mode():
        assert quick(G, sources(14)).numbers == report.numbers
    with torch.no_grad():
        assert quick(G).numbers == report.numbers


# -- the cache ---------------------------------------------------------------------------------------------------------


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*"))


def test_an_audit_that_was_broken_off_goes_on(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"max_batch": 4, "settings": changed(n_attacked=14)}
    whole = Counting()
    expected = quick(whole, **arguments)
    for share, n_files in ((0.4, 1), (0.2, 1), (0.4, 2)):  # the second one goes down in the batch it began with
        G = Counting()
        G.fail_from = int(share * whole.rows)
        with pytest.raises(RuntimeError, match="the machine went down"):
            quick(G, **arguments, cache=tmp_path)
        assert len(files(tmp_path)) == n_files
    last = Counting()
    found = quick(last, **arguments, cache=tmp_path)
    assert len(files(tmp_path)) == 4
    assert last.rows < 0.55 * whole.rows
    assert found.to_json() == expected.to_json()
    again = Counting()
    assert quick(again, **arguments, cache=tmp_path).to_json() == expected.to_json()
    assert again.rows < 10  # to see that it is the same G
    for mine, theirs in zip((*found.examples, *found.worst), (*expected.examples, *expected.worst), strict=True):
        assert vars(mine).keys() == vars(theirs).keys()
        for name, value in vars(theirs).items():
            same = torch.equal if isinstance(value, Tensor) else lambda a, b: a == b
            assert same(getattr(mine, name), value)


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b"", lambda b: b[:-5] + b"12345", lambda b: b"x" + b])
def test_a_damaged_file_is_measured_again(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    expected = quick(Counting(), X[:6], cache=tmp_path)
    (path,) = files(tmp_path)
    content = path.read_bytes()
    path.write_bytes(damage(content))
    assert quick(Counting(), X[:6], cache=tmp_path).to_json() == expected.to_json()
    assert path.read_bytes() == content


class Twice(BlockAverageProjector):
    """A projector that is not one."""

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        return super().project(x, 2 * y)


def other_weights() -> Counting:
    G = Counting()
    with torch.no_grad():
        G.last.weight.add_(0.01)
    return G


def constant(images: Tensor) -> Tensor:
    return images.flatten(1)


CHANGES: dict[str, dict[str, Any]] = {
    "weights": {"G": other_weights()},
    "another G": {"G": Posterior()},
    "mode": {"G": Counting().eval()},
    "pixels": {"data": X[:6].roll(1, 2)},
    "y": {"data": (PROJECTOR.D(X[:6]).roll(1, 2), X[:6])},
    "eps": {"eps": 0.41},
    "projector": {"projector": Twice(2)},
    "extractor": {"extractor": ModuleFeatures(constant, name="other", channels=1, weights="")},
    "real": {"real": sources(9)},
    "seed": {"settings": changed(seed=1)},
    "n_seeds": {"settings": changed(n_seeds=2)},
    "attack_seeds": {"settings": changed(attack_seeds=1)},
    "n_attacked": {"settings": changed(n_attacked=2)},
    "radii": {"settings": changed(radii=(2.0,))},
    "n_examples": {"settings": changed(n_examples=1)},
}


@pytest.fixture(scope="module")
def one_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    quick(Counting(), X[:6], cache=folder)
    return folder


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_was_measured_otherwise_is_not_taken(one_file: Path, change: dict[str, Any]) -> None:
    before = files(one_file)
    arguments: dict[str, Any] = {"G": Counting(), "data": X[:6]} | change
    quick(**arguments, cache=one_file)
    assert len(files(one_file)) > len(before)


@pytest.mark.parametrize("settings", [changed(level=0.5), changed(k=1), changed(n_splits=3)])
def test_what_comes_in_at_the_end_needs_nothing_new(one_file: Path, settings: AuditSettings) -> None:
    before = files(one_file)
    quick(Counting(), X[:6], settings=settings, cache=one_file)
    assert files(one_file) == before


def test_what_changes_in_a_later_batch_is_measured_again(tmp_path: Path) -> None:
    other = X[:6].clone()
    other[5] = other[5].roll(1)
    for data in (X[:6], other):
        found = quick(Counting(), (PROJECTOR.D(X[:6]), data), max_batch=3, cache=tmp_path)
    assert len(files(tmp_path)) == 3
    assert found.numbers == quick(Counting(), (PROJECTOR.D(X[:6]), other), max_batch=3).numbers


def test_a_cache_made_with_real_images_serves_without(tmp_path: Path) -> None:
    quick(Counting(), X[:6], real=sources(9), cache=tmp_path)
    assert quick(Counting(), X[:6], cache=tmp_path).numbers == quick(Counting(), X[:6]).numbers


def test_two_closures_are_told_apart(tmp_path: Path) -> None:
    found = [quick(lambda y, s=s: s * PROJECTOR.pinv(y), X[:6], cache=tmp_path) for s in (1.0, 0.9)]
    assert found[0].numbers != found[1].numbers
    assert len(files(tmp_path)) == 2


def test_a_file_of_another_batch_is_not_taken_for_this_one(tmp_path: Path) -> None:
    expected = quick(Counting(), X[:6], max_batch=3, cache=tmp_path).to_json()
    one, other = files(tmp_path)
    contents = one.read_bytes(), other.read_bytes()
    one.write_bytes(contents[1])
    other.write_bytes(contents[0])
    assert quick(Counting(), X[:6], max_batch=3, cache=tmp_path).to_json() == expected
    assert (one.read_bytes(), other.read_bytes()) == contents


@pytest.mark.parametrize("header", ["[]", "{}", '{"key": 3}', "nonsense"])
def test_a_right_checksum_of_something_else_is_measured_again(tmp_path: Path, header: str) -> None:
    expected = quick(Counting(), X[:6], cache=tmp_path).to_json()
    (path,) = files(tmp_path)
    content = path.read_bytes()
    write_checked(path, content.partition(b"\n")[0], [header.encode() + b"\n"])
    assert quick(Counting(), X[:6], cache=tmp_path).to_json() == expected
    whole = dict(json.loads(content.split(b"\n")[2]))
    write_checked(path, content.partition(b"\n")[0], [json.dumps({"key": whole["key"]}).encode() + b"\n"])
    assert quick(Counting(), X[:6], cache=tmp_path).to_json() == expected
    assert path.read_bytes() == content


def test_an_edited_extractor_of_the_same_protocol_is_told_by_its_features(tmp_path: Path) -> None:
    def features(scale: float) -> ModuleFeatures:
        return ModuleFeatures(lambda images: scale * images.flatten(1).square(), name="mine", channels=1, weights="")

    for real in (None, sources(9)):
        before = len(files(tmp_path))
        found = [quick(Counting(), X[:6], extractor=features(s), real=real, cache=tmp_path) for s in (1.0, 2.0)]
        expected = quick(Counting(), X[:6], extractor=features(2.0), real=real)
        assert found[1].to_json() == expected.to_json() != found[0].to_json()
        assert len(files(tmp_path)) == before + (2 if real is None else 4)


def test_a_cache_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cache must be a folder, got a file"):
        quick(Counting(), cache=tmp_path / "file")


# -- pictures ----------------------------------------------------------------------------------------------------------


def flagged(y: Tensor) -> Tensor:
    """Copies y, ten times as strong where the first pixel is above 0.9."""
    return y * (1 + 9 * (y[:, :, :1, :1] > 0.9))


def test_the_worst_input_is_found_in_any_batch() -> None:
    x = 0.5 * X[:8]
    x[5, 0, 0, 0] = 1.0
    found = quick(flagged, (x, x), projector=None, settings=changed(n_attacked=7), max_batch=4, eps=0.05)
    assert found.worst[0].number == 5
    assert len(found.worst) == 2
    shown = found.worst[0]
    assert shown.robustness == pytest.approx(found.per_input["robustness_strong"][5])
    assert shown.robustness == min(found.per_input["robustness_strong"])
    assert shown.attacked is not None
    assert shown.clean is not None
    assert shown.y_attacked is not None
    assert (shown.y_attacked - shown.y).norm().item() == pytest.approx(0.05, rel=1e-3)
    assert (shown.attacked - shown.clean).norm().item() == pytest.approx(0.5, rel=1e-2)
    assert torch.equal(shown.clean[0], flagged(x[5:6])[0])


def test_pictures_of_the_first_inputs(report: AuditReport) -> None:
    assert [example.number for example in report.examples] == [0, 1]
    first = report.examples[0]
    assert torch.equal(first.x, X[0])
    assert torch.equal(first.y, PROJECTOR.D(X[:1])[0])
    assert first.samples.shape == (3, *SHAPE)
    assert first.mean is not None
    assert torch.allclose(first.mean, first.samples.mean(0))
    assert first.std is not None
    assert first.std.mean().item() == pytest.approx(report.per_input["std"][0], rel=1e-4)
    assert not quick(Counting(), settings=changed(n_examples=0)).examples
    late = quick(Counting(), settings=changed(n_examples=6), max_batch=4).examples
    assert [example.number for example in late] == [0, 1, 2, 3, 4, 5]
    assert [example.robustness is None for example in late] == [False] * 4 + [True] * 2


# -- the report --------------------------------------------------------------------------------------------------------


def test_a_report_goes_through_json(report: AuditReport) -> None:
    again = AuditReport.from_json(report.to_json())
    pictures = {"examples": (), "worst": ()}
    assert vars(again) == vars(report) | pictures
    assert json.loads(report.to_json())["protocol"] == report.protocol  # JSON-ready
    assert again.to_json() == report.to_json()


def test_the_codes_of_doubts_are_kept_by_json_and_by_the_cache(tmp_path: Path) -> None:
    G, settings = Counting(normalise=True).train(), changed(k=9)
    for _ in range(2):  # the second one reads what the first one wrote
        with pytest.warns(AttackWarning, match="train mode"):
            found = quick(G, settings=settings, cache=tmp_path)
        assert [concern.code for concern in found.concerns] == ["train mode", "batch-dependent", "quality left out"]
        again = AuditReport.from_json(found.to_json())
        assert again.concerns == found.concerns
        assert [concern.code for concern in again.concerns] == ["train mode", "batch-dependent", "quality left out"]


def test_a_report_of_0_1_0_gets_codes() -> None:
    content = json.loads(
        quick(lambda y: (y - y.mean(0)).abs(), (X, X), settings=changed(k=9), projector=None).to_json()
    )
    del content["codes"], content["checksum"]  # 0.1.0 had none
    content["concerns"] += ["the gradient of G with respect to y was zero at every step for 1 of 2 samples", "else"]
    codes = [concern.code for concern in AuditReport.from_json(json.dumps(content)).concerns]
    assert codes == ["batch-dependent", "quality left out", "zero gradient", ""]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "stochrobust audit 1"}', '{"format": "other"}', "3"])
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="text must be"):
        AuditReport.from_json(text)


def test_markdown_holds_every_number(report: AuditReport) -> None:
    text = quick(Counting(), title="Ours", settings=changed(radii=(2.0,))).to_markdown()
    assert text.startswith("# Audit: Ours\n")
    for group in ("Quality", "Consistency", "Diversity", "Distortion", "Calibration", "Robustness", "Protocol"):
        assert f"\n## {group}" in text
    robustness = report.numbers["robustness_strong"]
    assert f"| {robustness.estimate:.2f} dB | {robustness.low:.2f} to {robustness.high:.2f} | 4 |" in text
    assert "| 0.800 |" in text  # the further radius of the curve
    assert report.protocol["data"]["sha256"]["x"] in text


def test_titles(report: AuditReport) -> None:
    assert report.title == "Counting"
    assert quick(PROJECTOR.pinv).title == "pinv"
    assert quick(PROJECTOR.pinv, title="Ours").title == "Ours"


def test_the_protocol_says_what_was_done(report: AuditReport) -> None:
    protocol = report.protocol
    assert protocol["data"]["n"] == 14
    assert protocol["data"]["shape"] == {"x": [1, 4, 4], "y": [1, 2, 2]}
    assert protocol["eps"] == 0.4
    assert protocol["settings"] == {**vars(QUICK), "radii": []}
    assert protocol["projector"] == "BlockAverageProjector"
    assert protocol["estimator"]["n_seeds"] == 3
    assert "SphereAscent" in protocol["attacks"]["strong"]
    assert protocol["data"]["dtype"] == "float32"
    assert quick(PROJECTOR.pinv, X.double()).protocol["data"]["dtype"] == "float64"


def test_a_projector_alone_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def judged(numbers: Any, *, projector_residual_psnr: float | None, **more: Any) -> tuple[()]:
        seen.append(projector_residual_psnr)
        return ()

    monkeypatch.setattr(totals, "judge", judged)
    quick(PROJECTOR.pinv)
    quick(PROJECTOR.pinv, projector=Twice(2))
    quick(PROJECTOR.pinv, (PROJECTOR.D(X), X), projector=None)
    assert seen[0] > 120
    assert seen[1] < 20
    assert seen[2] is None


def test_progress_is_shown_if_it_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    quick(PROJECTOR.pinv, max_batch=7, progress=True)
    assert "2/2" in capsys.readouterr().err
    quick(PROJECTOR.pinv, [X[:7], X[7:]], progress=True)
    assert "2/2" in capsys.readouterr().err
    quick(PROJECTOR.pinv)
    assert not capsys.readouterr().err


# -- what a caller can get wrong ---------------------------------------------------------------------------------------


def with_nan(y: Tensor, z: Tensor) -> Tensor:
    x_hat: Tensor = PROJECTOR.pinv(y) + 0.01 * z
    return torch.where(y[:, :, :1, :1] > 0.9, torch.nan, x_hat)


FLAGGED = 0.5 * X
FLAGGED[9] = 1.0

WRONG: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "G": ({"G": 3}, TypeError, "G must be callable"),
    "data of words": ({"data": "x"}, TypeError, "data must be x"),
    "data a number": ({"data": 3}, TypeError, "data must be x"),
    "no data": ({"data": []}, ValueError, "data must not be empty, got no batch"),
    "empty data": ({"data": X[:0]}, ValueError, "x must not be empty"),
    "x of 3 dimensions": ({"data": X[0]}, ValueError, "x must have 4 dimensions"),
    "x integer": ({"data": X.long()}, TypeError, "x must have a real floating-point dtype"),
    "x too large": ({"data": 255 * X}, ValueError, r"x must have values in \[0, 1\], got .*: rescale or clamp"),
    "x negative": ({"data": X - 1}, ValueError, r"x must have values in \[0, 1\]"),
    "x NaN": ({"data": X * torch.nan}, ValueError, "x must be finite"),
    "y NaN": ({"data": (PROJECTOR.D(X) * torch.nan, X)}, ValueError, "y must be finite"),
    "y of other length": ({"data": (PROJECTOR.D(X)[:3], X)}, ValueError, "y must have one row for each of x"),
    "three parts": ({"data": [(X, X, X)]}, ValueError, r"data must have batches x, \(y, x\) or .*, got one of 3 parts"),
    "other shapes later": (
        {"data": [X, sources(4).repeat(1, 1, 2, 2)]},
        ValueError,
        "data must have one shape of y and x",
    ),
    "labels": ({"data": [(X, torch.arange(14))]}, ValueError, "of images with labels, give the images alone"),
    "no y": ({"projector": None}, ValueError, r"projector must be given, or data must hold pairs \(y, x\)"),
    "projector": ({"projector": PROJECTOR.D}, TypeError, "projector must have D, pinv, residual and project"),
    "eps zero": ({"eps": 0}, ValueError, "eps must be a finite number above 0"),
    "eps a tensor": ({"eps": torch.ones(14)}, TypeError, "eps must be a real number"),
    "settings": ({"settings": {"k": 3}}, TypeError, r"settings must be AuditSettings"),
    "title": ({"title": None}, TypeError, "title must be a string"),
    "progress": ({"progress": "yes"}, TypeError, "progress must be True or False"),
    "max_batch": ({"max_batch": 0}, ValueError, "max_batch must be at least 1"),
    "real too large": ({"real": 255 * X}, ValueError, r"real must have values in \[0, 1\]"),
    "real a number": ({"real": 3}, TypeError, "real must be images or batches of them"),
    "real of another size": ({"real": torch.rand(14, 1, 8, 8)}, ValueError, "generated must have the 64 features"),
    "extractor": ({"extractor": 3}, TypeError, "extractor must have a protocol"),
    "output shape": ({"G": lambda y: y}, ValueError, r"G's output must have the shape of one x, \(1, 4, 4\), got"),
    "output NaN": (
        {"G": with_nan, "sample_z": noise, "data": FLAGGED, "max_batch": 12},
        ValueError,
        "G's output must be finite, got NaN or infinity at input 9 of the data",
    ),
}


@pytest.mark.parametrize(("change", "error", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_arguments(change: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {"G": PROJECTOR.pinv, "data": X, "max_batch": None} | change
    with pytest.raises(error, match=message):
        quick(**arguments)


def test_a_failure_under_attack_says_where() -> None:
    class Brittle(nn.Module):
        def forward(self, y: Tensor) -> Tensor:
            x_hat: Tensor = PROJECTOR.pinv(y)
            return torch.where((y > 1.01).any(), torch.nan, x_hat)

    with pytest.raises(ValueError, match="at step") as caught:
        quick(Brittle(), FLAGGED, settings=changed(n_attacked=14), max_batch=4)
    assert any("at inputs 8 to 11 of the data" in note for note in caught.value.__notes__)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"n_seeds": 1}, ValueError, "n_seeds must be at least 2"),
        ({"n_attacked": 0}, ValueError, "n_attacked must be at least 1"),
        ({"attack_seeds": 1.5}, TypeError, "attack_seeds must be an integer"),
        ({"k": 0}, ValueError, "k must be at least 1"),
        ({"radii": [0.5]}, TypeError, "radii must be a tuple"),
        ({"radii": (2.0, 0.5)}, ValueError, "radii must ascend"),
        ({"radii": (0.0,)}, ValueError, "radii must be a finite number above 0"),
        ({"n_splits": 1}, ValueError, "n_splits must be at least 2"),
        ({"level": 1.0}, ValueError, "level must be between 0 and 1"),
        ({"n_examples": -1}, ValueError, "n_examples must be at least 0"),
        ({"seed": 0.5}, TypeError, "seed must be an integer"),
    ],
)
def test_wrong_settings(settings: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        AuditSettings(**settings)


def test_the_curve_has_eps_itself_once() -> None:
    assert AuditSettings(radii=(0.5, 1.0, 2.0)).all_radii == (0.5, 1.0, 2.0)
    assert AuditSettings(radii=(2.0,)).all_radii == (1.0, 2.0)


def test_no_option_of_the_restorers_here_is_ignored() -> None:
    y = torch.rand(2, *SHAPE)
    assert not torch.equal(Scaled(gains(2.0))(y), Scaled(gains(3.0))(y))
    assert not torch.equal(Posterior(1.0)(PROJECTOR.D(y), y), Posterior(2.0)(PROJECTOR.D(y), y))
