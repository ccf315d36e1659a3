"""The models of the super-resolution study by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from reference_experiments.images.restorer import weights_digest
from reference_experiments.images.settings import Cadence
from reference_experiments.networks.edsr import EDSR, EDSRSize
from reference_experiments.networks.realsr import PACKAGE
from reference_experiments.networks.rrdb import RRDBNet
from reference_experiments.networks.srflow import SRFlow
from reference_experiments.srflow import models
from reference_experiments.srflow.bicubic import enlarged
from reference_experiments.srflow.models import KNOWN, EncodedOnce, Subject, subject, subjects
from reference_experiments.srflow.settings import TINY, FlowTraining
from reference_experiments.srflow.training import train, trained_flow
from tests.drawn_weights import drawn_weights
from tests.experiments import sr_models
from tests.experiments.image_runs import digits

HERE = "tests.experiments.sr_models"
Y = torch.full((2, 3, 6, 5), 0.25)


def test_bicubic_needs_nothing() -> None:
    found = subject("bicubic")
    assert torch.equal(found.G(Y), enlarged(Y))
    assert (found.name, found.role, found.stochastic) == ("bicubic", "linear", False)


def test_the_flow_is_read_from_the_folder_of_its_training(tmp_path: Path) -> None:
    settings = FlowTraining(TINY, steps=1, batch=2, crop=16, heat=0.5)
    train(settings, [digits(tmp_path)], tmp_path / "flow", Cadence(1, 1, 1))
    found = subject(f"flow={tmp_path / 'flow'}", checkpointing=True)
    assert (found.role, found.stochastic) == ("flow", True)
    assert isinstance(found.G, SRFlow)
    assert (found.G.heat, found.G.training) == (0.5, False)
    assert found.G.RRDB.checkpointing
    assert found.G.flowUpsamplerNet.checkpointing
    own = trained_flow(tmp_path / "flow")[0].state_dict()
    assert all(torch.equal(value, own[name]) for name, value in found.G.state_dict().items())


def test_files_are_read_by_the_readers_of_their_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, Any] = {
        "edsr": EDSR(EDSRSize(1, 4, 1.0)), "rrdbnet": RRDBNet(1, 4, 2), "esrgan": RRDBNet(1, 4, 2),
        "srflow": SRFlow(TINY), "carn_m": EDSR(EDSRSize(1, 4, 1.0)), "realsr": RRDBNet(1, 4, 2),
    }  # fmt: skip
    roles = {name: KNOWN[name][1] for name in made}
    assert roles == {
        "edsr": "distortion", "rrdbnet": "distortion", "esrgan": "GAN", "srflow": "flow", "carn_m": "distortion",
        "realsr": "GAN",
    }  # fmt: skip
    readers = {
        "edsr": "load_edsr", "rrdbnet": "load_rrdbnet", "esrgan": "load_rrdbnet", "srflow": "load_srflow",
        "carn_m": "load_carn_m", "realsr": "load_realsr_df2k",
    }  # fmt: skip
    for name in ("edsr", "rrdbnet", "esrgan", "srflow"):
        with pytest.raises(ValueError, match=f"model '{name}': its file must be given, as NAME=FILE"):
            subject(name)
        with pytest.raises(FileNotFoundError, match=r"none.pth is not a file"):
            subject(f"{name}={tmp_path / 'none.pth'}")
    with pytest.raises(FileNotFoundError, match=r"none.bin is not a file: it should be .*" + PACKAGE):
        subject(f"realsr={tmp_path / 'none.bin'}")
    for name, reader in readers.items():
        paths: list[Path] = []
        with monkeypatch.context() as patched:
            load = lambda path, *more, it=made[name], paths=paths: paths.append(path) or it  # noqa: E731
            patched.setattr(models, reader, load)
            found = subject(f"{name}=somewhere.pth")
        assert found.G is made[name]
        assert paths == [Path("somewhere.pth")]
        assert found.stochastic == (name == "srflow")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nonsense", "model must be one of bicubic, carn_m, .* or module:factory, got 'nonsense'"),
        ("no_such_module:factory", "model 'no_such_module:factory' cannot be imported: No module named"),
        (f"{HERE}:absent", "cannot be imported: .*absent"),
        (f"{HERE}:nothing", "must return a callable"),
        (f"{HERE}:twice", r"must map \(1, 3, 8, 8\) to \(1, 3, 32, 32\), got \(1, 3, 16, 16\)"),
    ],
)
def test_what_cannot_be_a_model_is_named(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        subject(spec)


def test_anybodys_model() -> None:
    scaled = subject(f"{HERE}:Scaled", checkpointing=True)
    assert isinstance(scaled.G, sr_models.Scaled)
    assert (scaled.name, scaled.role, scaled.stochastic) == (f"{HERE}:Scaled", "other", False)
    assert scaled.G.checkpointing
    assert not scaled.G.training
    assert subject(f"{HERE}:Grainy").stochastic
    assert subject(f"{HERE}:hidden_noise").stochastic
    assert not subject(f"{HERE}:on").stochastic


def test_a_factory_that_takes_a_device_gets_it() -> None:
    sr_models.DEVICES.clear()
    subject(f"{HERE}:hidden_noise", "cpu")
    subject(f"{HERE}:on", "cpu")
    assert [torch.device("cpu")] * 2 == sr_models.DEVICES


def test_other_weights_are_another_identity() -> None:
    first, again = (subject(f"{HERE}:Scaled") for _ in range(2))
    assert isinstance(first.G, sr_models.Scaled)
    assert first.identity == again.identity == weights_digest(first.G)
    assert isinstance(again.G, sr_models.Scaled)
    with torch.no_grad():
        again.G.factor.add_(1)
    assert weights_digest(again.G) != first.identity
    assert subject(f"{HERE}:on").identity == f"{HERE}:on"


def test_two_models_of_one_name_are_refused() -> None:
    assert [one.name for one in subjects(["bicubic", f"{HERE}:on"])] == ["bicubic", f"{HERE}:on"]
    with pytest.raises(ValueError, match="models must have different names"):
        subjects(["bicubic", "bicubic"])


def test_a_flow_encodes_equal_rows_once_and_others_each() -> None:
    flow = SRFlow(TINY, heat=0.5).double().eval()
    flow.load_state_dict(drawn_weights(flow.state_dict(), 0))
    found = Subject(flow, "it", "flow", True, "").of_one_input
    assert isinstance(found, EncodedOnce)
    encoded: list[int] = []
    flow.RRDB.conv_first.register_forward_hook(lambda module, given, out: encoded.append(len(out)))
    one = torch.rand(1, 3, 4, 5, dtype=torch.float64)
    other = one.clone()
    other[0, 2, 3, 4] += 0.1
    for y in (one.expand(3, -1, -1, -1), torch.cat([one, one, other])):
        results = []
        for G in (found, flow):
            rows, z = y.clone().requires_grad_(), found.sample_z(y, torch.Generator().manual_seed(0))
            x_hat = G(rows, z)
            results.append((x_hat, torch.autograd.grad(x_hat.square().sum(), rows)[0].sum(0)))
        torch.testing.assert_close(*results)
    assert encoded == [1, 3, 3, 3]
    assert not any(isinstance(subject(name).of_one_input, EncodedOnce) for name in ("bicubic", f"{HERE}:Grainy"))
