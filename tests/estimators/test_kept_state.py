"""What a module keeps between calls is the same for all passes, and afterwards as it was: every kind of it, every way
in which the module is handed over.
"""

from __future__ import annotations

import copy
import functools
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.ao.quantization import FakeQuantize, MovingAverageMinMaxObserver
from torch.nn.utils import parametrize

from stochrobust import robustness_loss, same_seed_change, sensitivity

pytestmark = pytest.mark.filterwarnings("ignore::stochrobust.AttackWarning")

Y = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))


class Codebook(nn.Module):
    """Vector quantisation whose codes follow what they are used for."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 4)
        self.codes: Tensor
        self.register_buffer("codes", torch.randn(8, 4))

    def forward(self, y: Tensor) -> Tensor:
        h = self.net(y)
        nearest = torch.cdist(h.detach(), self.codes).argmin(1)
        q = self.codes[nearest]
        if self.training:
            with torch.no_grad():
                for k in nearest.unique():
                    self.codes[k] = 0.9 * self.codes[k] + 0.1 * h[nearest == k].mean(0)
        quantised: Tensor = h + (q - h).detach()
        return quantised


class OwnVariance(nn.Module):
    """A normalisation of one's own, by its running variance."""

    def __init__(self) -> None:
        super().__init__()
        self.variance: Tensor
        self.register_buffer("variance", torch.ones(4))
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, y: Tensor) -> Tensor:
        self.variance.lerp_(y.detach().var(0), 0.1)
        return y / (self.variance.clone() + 1e-5).sqrt() * self.weight


class AverageStyle(nn.Module):
    """StyleGAN's ``w_avg``: another tensor is put in the buffer's place."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(4, 4)
        self.w_avg: Tensor
        self.register_buffer("w_avg", torch.zeros(4))

    def forward(self, y: Tensor) -> Tensor:
        w = self.map(y)
        self.w_avg = w.detach().mean(0).lerp(self.w_avg, 0.9)
        truncated: Tensor = self.w_avg + 0.7 * (w - self.w_avg)
        return truncated


class Streaming(nn.Module):
    """A recurrent state: a buffer, or a plain attribute that is None at first, or a tuple."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.cell = kind, nn.LSTMCell(4, 4)
        self.hidden: Any = None
        self.state: Tensor
        if kind == "buffer":
            self.register_buffer("state", torch.zeros(2, 6, 4))
        if kind == "tuple":
            self.hidden = (torch.zeros(6, 4), torch.zeros(6, 4))

    def forward(self, y: Tensor) -> Tensor:
        if self.kind == "buffer":
            state = self.cell(y, tuple(self.state.clone()))
            self.state.copy_(torch.stack(state).detach())
        else:
            state = self.cell(y, self.hidden)
            self.hidden = tuple(part.detach() for part in state)
            if self.kind == "tensor":
                self.last = state[0].detach()
        output: Tensor = state[0]
        return output


class FrozenStatistics(nn.Module):
    """Moving statistics in a parameter that does not learn, written around autograd, as Keras does."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(4), requires_grad=False)
        self.net = nn.Linear(4, 4)

    def forward(self, y: Tensor) -> Tensor:
        self.mean.data.copy_(0.9 * self.mean + 0.1 * y.detach().mean(0))
        output: Tensor = self.net(y - self.mean.clone())
        return output


def quantised() -> nn.Module:
    layer = FakeQuantize(MovingAverageMinMaxObserver, quant_min=0, quant_max=255)
    model = nn.Sequential(layer, nn.Linear(4, 4))
    model(torch.randn(6, 4))
    return model


KEEPERS: dict[str, Callable[[], nn.Module]] = {
    "codebook": Codebook,
    "own variance": OwnVariance,
    "w_avg": AverageStyle,
    "observer": quantised,
    "state in a buffer": lambda: Streaming("buffer"),
    "state in an attribute": lambda: Streaming("None at first"),
    "state in a tuple": lambda: Streaming("tuple"),
    "a new attribute": lambda: Streaming("tensor"),
    "frozen parameter": FrozenStatistics,
    "BatchNorm": lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)),
}
CALLS: dict[str, Callable[[Any], Any]] = {
    "loss": lambda G: robustness_loss(G, Y, 0.5, generator=torch.Generator().manual_seed(0)),
    "loss in chunks": lambda G: robustness_loss(G, Y, 0.5, max_batch=6, generator=torch.Generator().manual_seed(0)),
    "sensitivity": lambda G: sensitivity(G, Y, 0.5, generator=torch.Generator().manual_seed(0)),
    "change": lambda G: same_seed_change(G, Y, torch.ones_like(Y)),
}


def kept(module: nn.Module) -> dict[str, Any]:
    """All tensors that a module holds, by name."""
    found: dict[str, Any] = {f"buffer {name}": buffer for name, buffer in module.named_buffers()}
    found |= {f"parameter {name}": parameter for name, parameter in module.named_parameters()}
    for path, layer in module.named_modules():
        if not isinstance(layer, torch.jit.ScriptModule):
            for name, value in vars(layer).items():
                if value is None or isinstance(value, Tensor) or (isinstance(value, tuple) and name == "hidden"):
                    found[f"attribute {path}.{name}"] = value
    return found


def assert_kept(module: nn.Module, call: Callable[[], Any]) -> None:
    before = kept(module)
    values = copy.deepcopy(before)
    versions = {name: value._version for name, value in before.items() if name.startswith("buffer")}
    call()
    after = kept(module)
    assert after.keys() == before.keys()
    for name, value in after.items():
        if isinstance(value, tuple):
            assert all(torch.equal(a, b) for a, b in zip(value, values[name], strict=True)), name
        elif value is None:
            assert values[name] is None, name
        else:
            assert torch.equal(value, values[name]), name
        if name in versions:
            assert value._version == versions[name], name


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize("make", KEEPERS.values(), ids=KEEPERS.keys())
def test_every_kind_of_state_is_as_it_was(make: Callable[[], nn.Module], call: Any, training: bool) -> None:
    model = make().train(training)
    for _ in range(2):  # the first call finds out what moves
        assert_kept(model, lambda: call(model))


@pytest.mark.parametrize("make", KEEPERS.values(), ids=KEEPERS.keys())
def test_all_passes_start_from_one_state(make: Callable[[], nn.Module]) -> None:
    model = make().train()
    for _ in range(2):
        assert (same_seed_change(model, Y, torch.zeros_like(Y)) == 0).all()


def test_a_pending_graph_of_the_callers_survives() -> None:
    model = OwnVariance()
    pending = model(Y).square().mean()
    robustness_loss(model, Y, 0.5).backward()
    pending.backward()  # an in-place change of the buffer that it kept would raise here


def test_after_a_failure_too() -> None:
    model = Streaming("buffer")
    model.cell.register_forward_hook(lambda *_: 1 / 0)

    def call() -> None:
        with pytest.raises(ZeroDivisionError):
            robustness_loss(model, Y, 0.5)

    assert_kept(model, call)


def test_what_moves_later_in_eval_mode_is_told_and_held_from_then_on() -> None:
    model = OwnVariance().eval()
    still = [True]

    def move(layer: Any) -> None:
        if not still[0]:
            layer.variance.add_(1.0)

    model.register_forward_pre_hook(lambda layer, _: move(layer))
    model.forward = lambda y: y * model.weight  # type: ignore[method-assign]
    robustness_loss(model, Y, 0.5)
    still[0] = False
    with pytest.warns(RuntimeWarning, match=r"changed what it keeps \(variance\)"):
        robustness_loss(model, Y, 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert_kept(model, lambda: robustness_loss(model, Y, 0.5))


# -- parameters --------------------------------------------------------------------------------------------------------


class ActNorm(nn.Module):
    """Initialised by the first batch that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(4))
        self.ready: Tensor
        self.register_buffer("ready", torch.tensor(False))

    def forward(self, y: Tensor) -> Tensor:
        if not self.ready:
            self.bias.data.copy_(-y.detach().mean(0))
            self.ready.fill_(True)
        return 2 * (y + self.bias)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_data_dependent_initialisation_is_refused_by_name(call: Any) -> None:
    model: Any = nn.Sequential(ActNorm(), nn.Linear(4, 4))
    with pytest.raises(ValueError, match=r"changes of 0.bias \(data-dependent initialisation"):
        call(model)
    assert (model[0].bias == 0).all()
    assert not model[0].ready
    model(Y)
    call(model)


def test_parametrize_cached_keeps_no_weight_of_ours() -> None:
    model: Any = nn.utils.parametrizations.orthogonal(nn.Linear(4, 4))
    with parametrize.cached():
        sensitivity(model, Y, 0.5)  # makes passes without gradients
        model(Y).sum().backward()
    assert model.parametrizations.weight.original.grad is not None
    with parametrize.cached():
        weight = model.weight
        robustness_loss(model, Y, 0.5)
        assert model.weight is weight  # and the caller's own is still there


# -- however the module is handed over ---------------------------------------------------------------------------------


def batch_norm_net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU()).train()


class Holder:
    """An object with a net, as pipelines are."""

    def __init__(self, *nets: nn.Module) -> None:
        self.nets = nets

    def __call__(self, y: Tensor) -> Tensor:
        for net in self.nets:
            y = net(y)
        return y

    def restore(self, y: Tensor) -> Tensor:
        return self(y)


class Unregistered(nn.Module):
    """A module that calls another one, which it has not registered."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.step = lambda y: net(y)

    def forward(self, y: Tensor) -> Tensor:
        output: Tensor = self.step(y)  # type: ignore[no-untyped-call]
        return output


def decorated(function: Any) -> Any:
    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        return function(*arguments)

    return call


def run(net: nn.Module, y: Tensor) -> Tensor:
    output: Tensor = net(y)
    return output


GLOBAL = batch_norm_net()


def by_name(y: Tensor) -> Tensor:
    output: Tensor = GLOBAL(y)
    return output


def through_a_helper(y: Tensor) -> Tensor:
    return by_name(y)


def of_two(first: nn.Module) -> tuple[Any, list[nn.Module]]:
    second = batch_norm_net()
    return (lambda y: second(first(y))), [first, second]


WAYS: dict[str, Any] = {
    "closure": lambda net: (lambda y: net(y), [net]),
    "two in a closure": of_two,
    "functools.wraps": lambda net: (decorated(net), [net]),
    "decorated method": lambda net: (decorated(net.forward), [net]),
    "autocast decorator": lambda net: (torch.autocast("cpu", torch.bfloat16)(net), [net]),
    "compiled method": lambda net: (torch.compile(net.forward, backend="eager"), [net]),
    "compiled": lambda net: (torch.compile(net, backend="eager"), [net]),
    "object": lambda net: (Holder(net), [net]),
    "method of an object": lambda net: (Holder(net).restore, [net]),
    "partial argument": lambda net: (functools.partial(run, net), [net]),
    "unregistered": lambda net: (Unregistered(net), [net]),
    "script": lambda net: (lambda script: (script, [script]))(torch.jit.script(net)),
    "trace": lambda net: (lambda trace: (trace, [trace]))(torch.jit.trace(net, Y, check_trace=False)),
    "export": lambda net: (lambda export: (export, [export]))(torch.export.export(net, (Y,)).module()),
    "global": lambda net: (by_name, [GLOBAL]),
    "global of a helper": lambda net: (through_a_helper, [GLOBAL]),
}


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",
    "ignore::torch.jit.TracerWarning",
    "ignore:The .grad attribute:UserWarning",
)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_the_module_is_found(way: Any) -> None:
    G, modules = way(batch_norm_net())
    before = [{name: buffer.clone() for name, buffer in module.named_buffers()} for module in modules]
    robustness_loss(G, Y, 0.5)
    sensitivity(G, Y, 0.5)
    for module, buffers in zip(modules, before, strict=True):
        assert buffers
        assert all(torch.equal(buffer, buffers[name]) for name, buffer in module.named_buffers())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_running_statistics_of_torchscript_are_out_of_reach() -> None:
    script = torch.jit.script(batch_norm_net())
    with pytest.raises(ValueError, match="norm_statistics='running' does not reach a TorchScript module in train mode"):
        robustness_loss(script, Y, 0.5, norm_statistics="running")
    robustness_loss(script.eval(), Y, 0.5, norm_statistics="running")


def test_threads_that_share_a_module_wait_for_each_other() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    before = {name: (buffer, buffer.clone()) for name, buffer in model.named_buffers()}
    threads = [threading.Thread(target=lambda: [robustness_loss(model, Y, 0.5) for _ in range(5)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, buffer in model.named_buffers():
        assert buffer is before[name][0]
        assert torch.equal(buffer, before[name][1])
