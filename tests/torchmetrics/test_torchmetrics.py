"""The metric classes: what the functions say, in collections, after merges, in validation and across processes."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import stochrobust
from stochrobust import PAPER, AttackWarning, BlockAverageProjector, SampleKeys, summarize_psnr
from tests.processes import in_two_processes

torchmetrics = pytest.importorskip("torchmetrics")

from stochrobust.torchmetrics import (  # noqa: E402
    AdversarialInputPSNR,
    ConsistencyPSNR,
    FrechetDistance,
    PerPixelStd,
    PrecisionRecallDensityCoverage,
    RobustnessPSNR,
    Sensitivity,
)

PROJECTOR = BlockAverageProjector(2)
N = 7  # inputs, with two seeds each


def data() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    clean, attacked = torch.rand(2, 2 * N, 3, 8, 8, generator=generator)
    attacked[2:4] = clean[2:4]  # an input whose outputs do not move
    y = PROJECTOR.D(clean[::2]) + 0.01 * torch.randn(N, 3, 4, 4, generator=generator)
    delta = 0.1 * torch.randn(N, 3, 4, 4, generator=generator)
    return {"clean": clean, "attacked": attacked, "samples": clean, "x_hat": clean[::2], "y": y, "delta": delta}


def rows(values: dict[str, Tensor], inputs: slice) -> dict[str, Tensor]:
    """The given inputs, with both outputs of each where there are two."""
    return {
        name: value.unflatten(0, (N, -1))[inputs].flatten(0, 1)
        for name, value in values.items()
    }  # fmt: skip


def curved(y: Tensor) -> Tensor:
    return torch.sin(3 * y) * y.flatten(1).mean(1).view(-1, 1, 1, 1)


class Attacked(Sensitivity):
    """The sensitivity of one estimator, for a collection that hands out tensors."""

    def update(self, y: Tensor, keys: Any = None) -> None:  # type: ignore[override]
        super().update(curved, y, SampleKeys(range(len(y))) if keys is None else SampleKeys(keys))


METRICS: dict[str, Callable[[], Any]] = {
    "std": lambda: PerPixelStd(2),
    "robustness": lambda: RobustnessPSNR(2, data_range=2.0),
    "ai": lambda: AdversarialInputPSNR(data_range=2.0),
    "consistency": lambda: ConsistencyPSNR(PROJECTOR, data_range=2.0),
    "stored": lambda: ConsistencyPSNR(PROJECTOR, rounded=True),
    "sensitivity": lambda: Attacked(0.1, 1, attack=PAPER),
}


def expected(name: str) -> float:
    d = data()
    psnr = {
        "robustness": lambda: stochrobust.robustness_psnr(d["clean"], d["attacked"], n_seeds=2, data_range=2.0),
        "ai": lambda: stochrobust.adversarial_input_psnr(d["y"], d["delta"], data_range=2.0),
        "consistency": lambda: stochrobust.consistency_psnr(d["x_hat"], d["y"], PROJECTOR, data_range=2.0).raw,
        "stored": lambda: stochrobust.consistency_psnr(d["x_hat"], d["y"], PROJECTOR).rounded,
    }
    if name in psnr:
        return summarize_psnr(psnr[name]()).mean
    if name == "std":
        return float(stochrobust.per_pixel_std(d["samples"], 2).double().mean())
    keys = SampleKeys(range(N))
    return float(stochrobust.sensitivity(curved, d["y"], 0.1, 1, attack=PAPER, generator=keys).value.double().mean())


def take_in(metric: Any, *shares: slice) -> Any:
    """One update for each share of the inputs."""
    for share in shares:
        values: dict[str, Any] = rows(data(), share) | {"keys": range(N)[share]}
        metric.update(**metric._filter_kwargs(**values))
    return metric


@pytest.mark.parametrize("name", METRICS)
def test_unequal_batches_give_the_value_of_the_whole(name: str) -> None:
    metric = take_in(METRICS[name](), slice(0, 4), slice(4, 5), slice(5, N))
    assert metric.compute().item() == pytest.approx(expected(name), rel=1e-6)
    assert metric.compute().dtype == torch.float64
    whole = take_in(METRICS[name](), slice(0, N))
    backwards = take_in(METRICS[name](), slice(3, N), slice(0, 3))
    assert whole.compute().item() == pytest.approx(backwards.compute().item(), rel=1e-6)


@pytest.mark.parametrize("name", METRICS)
def test_reset_merge_pickle_and_forward(name: str) -> None:
    metric = take_in(METRICS[name](), slice(0, 2))
    metric.reset()
    other = pickle.loads(pickle.dumps(take_in(METRICS[name](), slice(4, N))))
    take_in(metric, slice(0, 4))
    metric.merge_state(other)
    assert metric.compute().item() == pytest.approx(expected(name), rel=1e-6)
    stepwise = METRICS[name]()
    values: dict[str, Any] = rows(data(), slice(0, 3)) | {"keys": range(3)}
    step = stepwise(**stepwise._filter_kwargs(**values))
    assert step == take_in(METRICS[name](), slice(0, 3)).compute()


@pytest.mark.parametrize("name", METRICS)
def test_plot(name: str) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    figure, _ = take_in(METRICS[name](), slice(0, N)).plot()
    assert len(figure.axes) == 1
    matplotlib.pyplot.close(figure)


def test_a_collection_hands_each_its_own() -> None:
    collection = torchmetrics.MetricCollection({name: METRICS[name]() for name in METRICS})
    for share in (slice(0, 3), slice(3, N)):
        values: dict[str, Any] = rows(data(), share) | {"keys": range(N)[share]}
        collection.update(**values)
    for name, value in collection.compute().items():
        assert value.item() == pytest.approx(expected(name), rel=1e-6)


def test_a_collection_does_not_share_states_that_happen_to_be_close() -> None:
    """It takes metrics for one whose states are close after the first update, here both infinite, and updates only one.

    Source: torchmetrics 1.9, ``MetricCollection(compute_groups=True)``, its default.
    """
    collection = torchmetrics.MetricCollection({"one": RobustnessPSNR(), "ten": RobustnessPSNR(data_range=10.0)})
    clean = torch.zeros(2, 5)
    collection.update(clean, clean)
    collection.update(clean, clean + 0.1)
    values = collection.compute()
    assert values["one"].item() == pytest.approx(20, rel=1e-6)
    assert values["ten"].item() == pytest.approx(40, rel=1e-6)


def test_infinite_decibels_are_counted_and_left_out() -> None:
    metric = take_in(METRICS["robustness"](), slice(0, N))
    assert metric.summary().n_infinite == 1
    assert metric.summary().n_finite == N - 1
    nothing_moves = RobustnessPSNR()
    nothing_moves.update(torch.zeros(3, 2), torch.zeros(3, 2))
    assert nothing_moves.compute() == torch.inf


def test_the_mean_of_decibels_is_not_the_decibels_of_a_mean() -> None:
    """Eq. 9 averages PSNRs; torchmetrics' own PSNR pools the squared errors first."""
    clean = torch.zeros(2, 4)
    attacked = torch.tensor([[0.1], [0.001]]).expand(2, 4)
    metric = RobustnessPSNR()
    metric.update(clean, attacked)
    assert metric.compute().item() == pytest.approx(40, rel=1e-6)
    pooled = torchmetrics.functional.image.peak_signal_noise_ratio(attacked, clean, data_range=1.0)
    assert pooled.item() == pytest.approx(23.0, abs=0.01)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_gradients_where_validation_forbids_them(context: Callable[[], Any]) -> None:
    module = torch.nn.Linear(3, 3, bias=False)
    with context():
        metric = Sensitivity(0.1, attack=PAPER)
        metric.update(module, torch.zeros(5, 3))
        value = metric.compute().item()
    largest = 0.01 * float(torch.linalg.matrix_norm(module.weight.detach(), 2)) ** 2
    assert 0.5 * largest < value < largest * (1 + 1e-5)
    assert module.weight.grad is None
    assert module.training


def test_the_sensitivity_counts_inputs_that_nothing_moved() -> None:
    metric = Sensitivity(0.1, attack=PAPER)
    with pytest.warns(AttackWarning, match="G ignores its input"):
        metric.update(lambda y: torch.zeros_like(y) + 0 * y, torch.zeros(5, 3))
    assert metric.n_stalled == 5
    assert metric.compute() == 0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: PerPixelStd(1), ValueError, "n_seeds must be at least 2"),
        (lambda: RobustnessPSNR(0), ValueError, "n_seeds must be at least 1"),
        (lambda: RobustnessPSNR(data_range=0.0), ValueError, "data_range must be a finite number above 0"),
        (lambda: AdversarialInputPSNR(data_range=-1.0), ValueError, "data_range must be a finite number above 0"),
    ],
)
def test_errors(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


# -- of two sets -------------------------------------------------------------------------------------------------------

REAL, GENERATED = (torch.randn(n, 5, generator=torch.Generator().manual_seed(n)) + 1e3 for n in (60, 50))
FOUR = ("precision", "recall", "density", "coverage")


def take_in_sets(metric: Any, shares: Sequence[slice] = (slice(0, 60),)) -> Any:
    """Unequal batches of real and generated samples, in turn."""
    for share in shares:
        metric.update(REAL[share], real=True)
        if len(GENERATED[share]):
            metric.update(GENERATED[share], real=False)
    return metric


SHARES_OF_SETS = (slice(0, 7), slice(7, 8), slice(8, 40), slice(40, 60))


def test_the_frechet_distance_of_batches_merges_and_forwards() -> None:
    expected = stochrobust.frechet_distance(real=REAL, generated=GENERATED)
    metric = take_in_sets(FrechetDistance(), SHARES_OF_SETS)
    assert metric.compute().item() == pytest.approx(expected, rel=1e-10)
    assert metric.result().protocol == expected.protocol
    merged = take_in_sets(FrechetDistance(), SHARES_OF_SETS[:2])
    merged.merge_state(pickle.loads(pickle.dumps(take_in_sets(FrechetDistance(), SHARES_OF_SETS[2:]))))
    assert merged.compute().item() == pytest.approx(expected, rel=1e-10)
    metric.reset()
    assert take_in_sets(metric).compute().item() == pytest.approx(expected, rel=1e-10)
    assert len(metric.real) == 1, "the state does not grow with the number of samples"


def test_the_four_of_batches_merges_and_forwards() -> None:
    expected = stochrobust.prdc(real=REAL, generated=GENERATED, k=3)
    metric = take_in_sets(PrecisionRecallDensityCoverage(k=3), SHARES_OF_SETS)
    assert {name: value.item() for name, value in metric.compute().items()} == {n: getattr(expected, n) for n in FOUR}
    assert metric.result().precision.protocol == expected.precision.protocol
    assert torch.equal(metric.result().covered, expected.covered)
    merged = take_in_sets(PrecisionRecallDensityCoverage(k=3), SHARES_OF_SETS[:2])
    merged.merge_state(take_in_sets(PrecisionRecallDensityCoverage(k=3), SHARES_OF_SETS[2:]))
    assert merged.compute() == metric.compute()
    five = take_in_sets(PrecisionRecallDensityCoverage(), SHARES_OF_SETS)
    assert five.compute()["precision"] == stochrobust.prdc(real=REAL, generated=GENERATED, k=5).precision


def test_sets_of_images_go_through_the_extractor() -> None:
    extractor = stochrobust.ModuleFeatures(lambda images: images.flatten(1), name="pixels", weights="")
    images = torch.rand(30, 3, 2, 2)
    metrics: list[Any] = [FrechetDistance(extractor), PrecisionRecallDensityCoverage(3, extractor)]
    for metric in metrics:
        for batch in images.split(8):
            metric.update(batch, real=True)
            metric.update(batch.flip(0), real=False)
        score: Any = getattr(metric.result(), "precision", metric.result())
        assert score.protocol.extractor == "pixels"
        with pytest.raises(ValueError, match=r"images must have values in \[0.0, 1.0\]"):
            metric.update(2 * images, real=True)
    assert metrics[1].result().coverage == 1


def test_a_collection_of_set_metrics() -> None:
    collection = torchmetrics.MetricCollection([FrechetDistance(), PrecisionRecallDensityCoverage(k=3)])
    values = take_in_sets(collection, SHARES_OF_SETS).compute()
    assert set(values) == {"FrechetDistance", *FOUR}
    assert values["recall"] == stochrobust.prdc(real=REAL, generated=GENERATED, k=3).recall


def test_float64_features_are_not_narrowed_in_silence() -> None:
    metric = PrecisionRecallDensityCoverage()
    with pytest.raises(
        ValueError, match=r"samples must fit torch.float32, call set_dtype for others, got a torch.float64"
    ):
        metric.update(REAL.double(), real=True)
    metric.set_dtype(torch.float64)
    metric.update(REAL.double(), real=True)
    assert metric.real[0].dtype == torch.float64


@pytest.mark.parametrize("make", [FrechetDistance, PrecisionRecallDensityCoverage])
def test_sets_of_two_protocols_are_refused(make: Callable[[], Any]) -> None:
    metric = make()
    mine, theirs = (stochrobust.Protocol(extractor=name) for name in ("mine", "theirs"))
    metric.update(stochrobust.Features(REAL, mine), real=True)
    with pytest.raises(ValueError, match="samples must have the protocol of those before, got another: extractor"):
        metric.update(stochrobust.Features(GENERATED, theirs), real=False)
    assert metric.protocol == mine
    metric.reset()
    metric.update(stochrobust.Features(GENERATED, theirs), real=False)
    assert metric.protocol == theirs


@pytest.mark.parametrize("make", [FrechetDistance, PrecisionRecallDensityCoverage])
def test_wrong_samples(make: Callable[[], Any]) -> None:
    metric = make()
    with pytest.raises(TypeError, match="samples must have a real floating-point dtype"):
        metric.update(torch.zeros(4, 3, dtype=torch.uint8), real=True)
    with pytest.raises(ValueError, match="samples must be finite"):
        metric.update(torch.full((4, 3), torch.nan), real=True)
    metric.update(torch.rand(4, 3), real=True)
    with pytest.raises(ValueError, match="samples must have 3 features as before"):
        metric.update(torch.rand(4, 2), real=False)
    with pytest.raises(ValueError, match="No samples to concatenate"):
        metric.compute()


# -- across processes --------------------------------------------------------------------------------------------------

SHARES = {"unequal": (slice(0, 5), slice(5, N)), "one has none": (slice(0, 0), slice(0, N))}


def value_of_both(rank: int, shares: tuple[slice, slice]) -> dict[str, float]:
    values = {}
    for name in METRICS:
        metric = METRICS[name]()
        if shares[rank].stop > shares[rank].start:
            take_in(metric, shares[rank])
        else:
            metric._update_count = 1  # silences torchmetrics' warning that nothing came, which is the point here
        values[name] = metric.compute().item()
    # All real samples here, all generated ones there: each process has none of one kind.
    for metric in (FrechetDistance(), PrecisionRecallDensityCoverage(k=3)):
        for batch in (GENERATED if rank else REAL).split((1, 20, 29 if rank else 39)):
            metric.update(batch, real=not rank)
        found = metric.compute()
        values |= {n: v.item() for n, v in found.items()} if isinstance(found, dict) else {"frechet": found.item()}
    return values


@pytest.mark.distributed
@pytest.mark.slow
@pytest.mark.parametrize("shares", SHARES)
def test_two_processes_give_exactly_what_one_gives(shares: str) -> None:
    """Unequal shares (torchmetrics #2170, #337), and one process without any."""
    together = in_two_processes(value_of_both, SHARES[shares])
    present = [share for share in SHARES[shares] if share.stop > share.start]
    alone = {name: take_in(METRICS[name](), *present).compute().item() for name in METRICS}
    frechet = stochrobust.frechet_distance(real=REAL, generated=GENERATED)
    assert together.pop("frechet") == pytest.approx(frechet, rel=1e-10)  # its sums are rounded in another order
    four = stochrobust.prdc(real=REAL, generated=GENERATED, k=3)
    assert together == alone | {name: getattr(four, name) for name in FOUR}
