"""The loss in two processes (gloo, on this machine), under DDP and under FSDP2: gradients are those of one process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal
from unittest import mock

import pytest
import torch
import torch.distributed as dist
import torch.distributed.fsdp
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.parallel import DistributedDataParallel

from stochrobust import PGD, SampleKeys, robustness_loss, sensitivity
from tests.problems import SmallNet
from tests.processes import in_two_processes

pytestmark = [pytest.mark.distributed, pytest.mark.slow]

N_SAMPLES, N_SEEDS, N_STEPS = 8, 2, 2  # the wrappers treat the first step otherwise than those after it


@dataclass(frozen=True)
class Setup:
    """A way to train. ``term``: a loss of the caller's own, through the wrapper too, before or after ours."""

    ddp: dict[str, bool] = field(default_factory=dict)
    term: Literal["before", "after"] | None = None
    parts: int = 1  # of which the gradients are accumulated
    max_batch: int | None = None
    first: int = 4  # how many samples rank 0 has
    gates: tuple[float, float] = (1.0, 1.0)  # at 0, G ignores its input, and the ascent stalls
    norm: bool = False
    recompute: bool = False  # activation checkpointing
    training: bool = True

    def parts_of(self, rank: int) -> list[range]:
        samples = range(self.first) if rank == 0 else range(self.first, N_SAMPLES)
        size = len(samples) // self.parts
        return [samples[part * size : (part + 1) * size] for part in range(self.parts)]


SETUPS = {
    "plain": Setup(),
    "a term before": Setup(term="before"),
    "a term after": Setup(term="after"),
    "accumulation": Setup(parts=2, term="before"),
    "max_batch": Setup(max_batch=3, term="before"),
    "batches of different sizes": Setup(first=5),
    "samples that stall": Setup(gates=(1.0, 0.0)),
    "checkpointed": Setup(recompute=True, term="before"),
    "checkpointed, in chunks": Setup(recompute=True, max_batch=3),
}
ONLY_DDP = {
    "unused parameters": Setup(ddp={"find_unused_parameters": True}, term="before"),
    "static graph": Setup(ddp={"static_graph": True}, term="before"),
    "static graph, in chunks": Setup(ddp={"static_graph": True}, max_batch=3),
    "views of buckets": Setup(ddp={"gradient_as_bucket_view": True}),
    "chunks of different number": Setup(first=5, max_batch=2),
    "BatchNorm in train mode": Setup(norm=True, term="before"),
    "BatchNorm in eval mode": Setup(norm=True, training=False),
    "BatchNorm in eval mode and a term": Setup(norm=True, training=False, term="before"),
}


class Gated(nn.Module):
    """A little net whose output a condition can switch off."""

    def __init__(self, norm: bool, recompute: bool) -> None:
        super().__init__()
        self.net = SmallNet(norm=norm, recompute=recompute)

    def forward(self, y: Tensor, z: Tensor, gate: Tensor) -> Tensor:
        output: Tensor = self.net(y, z) * gate
        return output


def new_model(setup: Setup) -> Gated:
    torch.manual_seed(7)
    return Gated(setup.norm, setup.recompute).double().train(setup.training)


def add_gradients(G: nn.Module, setup: Setup, rank: int, samples: range) -> None:
    """Forward and backward of a part of a batch, as people write it."""
    g = torch.Generator().manual_seed(3)
    y, z = (torch.randn(n, 4, generator=g, dtype=torch.float64) for n in (N_SAMPLES, N_SAMPLES * N_SEEDS))
    y, z = y[list(samples)], z[N_SEEDS * samples.start : N_SEEDS * samples.stop]
    gate = torch.full((len(y), 1), setup.gates[rank], dtype=torch.float64)
    terms: list[Callable[[], Tensor]] = [lambda: G(y, z[::N_SEEDS], gate).square().mean()] * (setup.term is not None)
    keys = SampleKeys(samples)
    terms += [lambda: robustness_loss(G, y, 0.5, N_SEEDS, z=z, cond=gate, generator=keys, max_batch=setup.max_batch)]
    total = torch.stack([term() for term in (terms[::-1] if setup.term == "after" else terms)]).sum()
    (total / setup.parts).backward()


def gradients_of_one_process(setup: Setup) -> list[Tensor]:
    """The mean over ranks of the gradients of what each has, computed here one after the other."""
    of_ranks = []
    for rank in range(2):
        model = new_model(setup)
        for samples in setup.parts_of(rank):
            add_gradients(model, setup, rank, samples)
        of_ranks.append([parameter.grad for parameter in model.parameters() if parameter.grad is not None])
    return [(a + b) / 2 for a, b in zip(*of_ranks, strict=True)]


def measured(G: nn.Module) -> list[float]:
    """A sensitivity of the samples that rank 0 has; every rank measures the same."""
    g = torch.Generator().manual_seed(4)
    y, z = (torch.randn(n, 4, generator=g, dtype=torch.float64) for n in (3, 3 * N_SEEDS))
    gate = torch.ones(3, 1, dtype=torch.float64)
    found = sensitivity(G, y, 0.5, N_SEEDS, z=z, cond=gate, attack=PGD(3), generator=SampleKeys(range(3)))
    assert all(parameter.grad is None for parameter in G.parameters())
    values: list[float] = found.value.tolist()
    return values


def assert_same(found: object, setup: Setup) -> None:
    assert isinstance(found, list), found  # or what was raised
    for gradient, expected in zip(found, gradients_of_one_process(setup), strict=True):
        torch.testing.assert_close(torch.tensor(gradient, dtype=torch.float64), expected)


def in_each_setup(work: Callable[[int, Setup], Any], rank: int, setups: dict[str, Setup]) -> dict[str, Any]:
    results: dict[str, Any] = {}
    for name, setup in setups.items():
        try:
            results[name] = work(rank, setup)
        except Exception as error:  # seen by the test of this set-up; the others run on
            results[name] = repr(error)
    return results


# -- DDP ---------------------------------------------------------------------------------------------------------------


def _with_ddp(rank: int, setup: Setup) -> tuple[list[Any], int, int]:
    model = new_model(setup)
    wrapped = DistributedDataParallel(model, **setup.ddp)  # type: ignore[arg-type]
    wrapped.reducer = mock.Mock(wraps=wrapped.reducer)
    with mock.patch.object(wrapped, "_sync_buffers", wraps=wrapped._sync_buffers) as sync:
        for _ in range(N_STEPS):
            model.zero_grad()
            for part, samples in enumerate(setup.parts_of(rank)):
                with wrapped.no_sync() if part < setup.parts - 1 else contextlib.nullcontext():
                    add_gradients(wrapped, setup, rank, samples)
    found = [parameter.grad.tolist() for parameter in model.parameters() if parameter.grad is not None]
    return found, sync.call_count, wrapped.reducer.prepare_for_backward.call_count


def _every_ddp(rank: int) -> dict[str, Any]:
    results = in_each_setup(_with_ddp, rank, SETUPS | ONLY_DDP)
    measure = {"measured": Setup()}
    return results | in_each_setup(lambda _, setup: measured(DistributedDataParallel(new_model(setup))), rank, measure)


@pytest.fixture(scope="module")
def of_ddp() -> dict[str, Any]:
    found: dict[str, Any] = in_two_processes(_every_ddp, seconds=250)
    return found


@pytest.mark.parametrize("name", SETUPS | ONLY_DDP)
def test_ddp(of_ddp: dict[str, Any], name: str) -> None:
    setup, result = (SETUPS | ONLY_DDP)[name], of_ddp[name]
    assert isinstance(result, tuple), result
    assert_same(result[0], setup)
    # Only the caller's own forwards may overwrite buffers, which a pending graph of theirs may need.
    assert result[1] == (N_STEPS if setup.norm and setup.term else 0)
    if setup.max_batch is None:  # the passes of the ascent prepare no reduction: clean, attacked, and the caller's own
        assert result[2] == (2 + (setup.term is not None)) * N_STEPS


def test_ddp_measures(of_ddp: dict[str, Any]) -> None:
    assert of_ddp["measured"] == pytest.approx(measured(new_model(Setup())), rel=1e-9)


# -- FSDP2 -------------------------------------------------------------------------------------------------------------

needs_fsdp2 = pytest.mark.skipif(
    not hasattr(torch.distributed.fsdp, "fully_shard"), reason="torch.distributed.fsdp.fully_shard came with torch 2.6"
)


def sharded(setup: Setup) -> Any:
    """Shards within shards: the layers one by one, and what is left."""
    model: Any = new_model(setup)
    mesh = init_device_mesh("cpu", (2,))
    for layer in (model.net.body, model.net.head, model):
        torch.distributed.fsdp.fully_shard(layer, mesh=mesh)
    return model


# Their names before and after torch 2.13.
COLLECTIVES = {
    "all_gather_into_tensor": "gather", "all_gather_single": "gather",
    "reduce_scatter_tensor": "send", "reduce_scatter_single": "send",
}  # fmt: skip


@contextlib.contextmanager
def counted_collectives() -> Iterator[dict[str, int]]:
    """How often parameters were gathered and gradients sent."""
    counts = dict.fromkeys(COLLECTIVES.values(), 0)

    def counting(kind: str, collective: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            counts[kind] += 1
            return collective(*args, **kwargs)

        return call

    with contextlib.ExitStack() as stack:
        for name, kind in COLLECTIVES.items():
            if hasattr(dist, name):
                stack.enter_context(mock.patch.object(dist, name, counting(kind, getattr(dist, name))))
        yield counts


def _with_fsdp2(rank: int, setup: Setup) -> tuple[list[Any], list[dict[str, int]]]:
    model = sharded(setup)
    with counted_collectives() as counts:
        for _ in range(N_STEPS):
            model.zero_grad()
            for part, samples in enumerate(setup.parts_of(rank)):
                model.set_requires_gradient_sync(part == setup.parts - 1)
                add_gradients(model, setup, rank, samples)
    of_ranks: list[Any] = [None, None]
    dist.all_gather_object(of_ranks, counts)
    return [parameter.grad.full_tensor().tolist() for parameter in model.parameters()], of_ranks


def _accumulating(rank: int, setup: Setup) -> list[Any]:
    """What the loss alone does while a gradient waits to be sent, also where G fails in the midst of the ascent."""
    model = sharded(setup)
    model.set_requires_gradient_sync(False)
    add_gradients(model, setup, rank, setup.parts_of(rank)[0])
    model.set_requires_gradient_sync(True)
    calls = 0

    def G(y: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise RuntimeError("the caller's own failure")
        output: Tensor = model(y, y, 1.0)
        return output

    with counted_collectives() as counts, pytest.raises(RuntimeError, match="own failure"):
        robustness_loss(G, torch.ones(2, 4, dtype=torch.float64), 0.5, module=model)
    with counted_collectives() as after:
        model(*torch.ones(2, 2, 4, dtype=torch.float64), 0.0).sum().backward()
    sent, sent_after = counts["send"], after["send"]
    return [sent, sent_after, [parameter.grad.full_tensor().tolist() for parameter in model.parameters()]]


def _every_fsdp2(rank: int) -> dict[str, Any]:
    results = in_each_setup(_with_fsdp2, rank, SETUPS) | in_each_setup(_accumulating, rank, {"waiting": Setup()})
    return results | in_each_setup(lambda _, setup: measured(sharded(setup)), rank, {"measured": Setup()})


@pytest.fixture(scope="module")
def of_fsdp2() -> dict[str, Any]:
    found: dict[str, Any] = in_two_processes(_every_fsdp2, seconds=250)
    return found


@needs_fsdp2
@pytest.mark.parametrize("name", SETUPS)
def test_fsdp2(of_fsdp2: dict[str, Any], name: str) -> None:
    result = of_fsdp2[name]
    assert isinstance(result, tuple), result
    assert_same(result[0], SETUPS[name])
    first, second = result[1]
    assert first == second
    assert first["send"] > 0
    assert first["gather"] > first["send"]


@needs_fsdp2
def test_fsdp2_sends_no_gradient_of_the_callers_in_an_ascent(of_fsdp2: dict[str, Any]) -> None:
    result = of_fsdp2["waiting"]
    assert isinstance(result, list), result
    sent, sent_after, gradients = result
    assert sent == 0
    assert sent_after > 0
    assert_same(gradients, Setup())


@needs_fsdp2
def test_fsdp2_measures(of_fsdp2: dict[str, Any]) -> None:
    assert of_fsdp2["measured"] == pytest.approx(measured(new_model(Setup())), rel=1e-9)
