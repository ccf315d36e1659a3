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
    Coverage,
    Density,
    FrechetDistance,
    PerPixelStd,
    Precision,
    PrecisionRecallDensityCoverage,
    Recall,
    RobustnessPSNR,
    Sensitivity,
    sets,
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
    take_in(metric, slice(0, 4)).compute()  # kept by torchmetrics, and stale after the merge
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
    with pytest.raises(ValueError, match="samples must have the 3 features of those before"):
        metric.update(torch.rand(4, 2), real=False)
    with pytest.raises(ValueError, match="No samples to concatenate"):
        metric.compute()


# -- whatever the caller does with its tensors, its modules and its errors ---------------------------------------------

SETS: dict[str, Callable[[], Any]] = {
    "frechet": FrechetDistance,
    "four": lambda: PrecisionRecallDensityCoverage(k=3),
    "precision": lambda: Precision(k=3),
    "recall": lambda: Recall(k=3),
    "density": lambda: Density(k=3),
    "coverage": lambda: Coverage(k=3),
}
of_two_sets = pytest.mark.parametrize("name", SETS)


def expected_of_sets(name: str) -> Any:
    if name == "frechet":
        return pytest.approx(float(stochrobust.frechet_distance(real=REAL, generated=GENERATED)), rel=1e-10)
    four = stochrobust.prdc(real=REAL, generated=GENERATED, k=3)
    values = {n: float(getattr(four, n)) for n in FOUR}
    return values if name == "four" else values[name]


def computed(metric: Any) -> Any:
    found = metric.compute()
    return {n: value.item() for n, value in found.items()} if isinstance(found, dict) else found.item()


@of_two_sets
def test_one_buffer_for_every_batch_and_tensors_that_change_later(name: str) -> None:
    metric, buffer = SETS[name](), torch.empty(10, 5)
    for rows_of_set, real in ((REAL, True), (GENERATED, False)):
        for batch in rows_of_set.split(10):
            metric.update(buffer.copy_(batch), real=real)
    buffer.zero_()
    assert computed(metric) == expected_of_sets(name)


@pytest.mark.parametrize("name", METRICS)
def test_outputs_that_change_later(name: str) -> None:
    metric, values = METRICS[name](), {key: value.clone() for key, value in data().items()}
    metric.update(**metric._filter_kwargs(**values))
    for value in values.values():
        value.zero_()
    assert metric.compute().item() == pytest.approx(expected(name), rel=1e-6)


CASTS: dict[str, Callable[[torch.nn.Module], object]] = {
    "half": lambda module: module.half(),
    "bfloat16": lambda module: module.to(torch.bfloat16),
    "double": lambda module: module.double(),
    "float16": lambda module: module.to(torch.float16),
    "to": lambda module: module.to("cpu"),
}


@pytest.mark.parametrize("cast", CASTS)
@pytest.mark.parametrize("name", [*SETS, *METRICS])
def test_a_cast_of_the_host_module_leaves_the_metric_alone(name: str, cast: str) -> None:
    """Lightning's bf16-true casts all modules; sums in bfloat16 are off by 1 %."""
    metric: Any = (SETS | METRICS)[name]()
    kept = metric.dtype
    first, second = (SHARES_OF_SETS[:2], SHARES_OF_SETS[2:]) if name in SETS else ((slice(0, 3),), (slice(3, N),))

    def take(shares: Sequence[slice]) -> None:
        take_in_sets(metric, shares) if name in SETS else take_in(metric, *shares)

    take(first)
    CASTS[cast](torch.nn.ModuleDict({"metric": metric}))
    assert metric.dtype == kept
    take(second)
    value = expected_of_sets(name) if name in SETS else pytest.approx(expected(name), rel=1e-6)
    assert computed(metric) == value


def test_set_dtype_still_casts_and_a_move_keeps_it() -> None:
    metric = PrecisionRecallDensityCoverage(k=3)
    metric.update(REAL, real=True)
    metric.set_dtype(torch.float64)
    metric.to("cpu")
    assert metric.real[0].dtype == metric.dtype == torch.float64
    metric.update(GENERATED.double(), real=False)
    assert computed(metric) == expected_of_sets("four")


MINE, THEIRS = (stochrobust.Protocol(extractor=name, data_range=(0.0, 1.0)) for name in ("mine", "theirs"))


def of_protocol(name: str, protocol: stochrobust.Protocol, rows_of_set: Tensor = REAL) -> Any:
    metric = SETS[name]()
    for real in (True, False):
        metric.update(stochrobust.Features(rows_of_set, protocol), real=real)
    return metric


@of_two_sets
def test_a_merge_keeps_the_protocol_and_refuses_another(name: str) -> None:
    metric, empty = of_protocol(name, MINE), SETS[name]()
    before = computed(metric)
    with pytest.raises(ValueError, match="incoming_state must have the protocol of those of this metric, got another"):
        metric.merge_state(of_protocol(name, THEIRS))
    with pytest.raises(ValueError, match="incoming_state must have the 5 features of those of this metric, got 4"):
        metric.merge_state(of_protocol(name, MINE, REAL[:, :4]))
    assert computed(metric) == before
    empty.merge_state(metric)
    assert empty.protocol == MINE
    assert computed(empty) == before
    metric.merge_state(SETS[name]())
    assert metric.protocol == MINE
    metric.merge_state(empty.metric_state)
    metric.update(stochrobust.Features(REAL, MINE), real=True)
    assert len(metric.conditions) == 1


@of_two_sets
def test_a_checkpoint_keeps_the_protocol_and_survives_a_reset(name: str) -> None:
    """torchmetrics 1.9 restores lists by reference, and ``reset`` clears them: of the checkpoint too."""
    metric, restored = of_protocol(name, MINE), SETS[name]()
    for each in (metric, restored):
        each.persistent(mode=True)
    state = metric.state_dict()
    take_in_sets(restored).compute()
    restored.load_state_dict(state)
    assert restored.protocol == MINE
    assert computed(restored) == computed(metric)
    restored.reset()
    assert restored.protocol == stochrobust.Protocol()
    assert all(len(state[key]) for key in ("real", "generated", "conditions"))


@of_two_sets
def test_a_refused_update_leaves_no_trace(name: str) -> None:
    metric = SETS[name]()
    for wrong in (torch.full((4, 5), torch.inf), torch.zeros(4, 5, dtype=torch.int64)):
        with pytest.raises((ValueError, TypeError)):
            metric.update(wrong, real=True)
    if name != "frechet":
        with pytest.raises(ValueError, match=r"samples must fit torch\.float32"):
            metric.update(stochrobust.Features(REAL[:, :2].double(), THEIRS), real=True)
    assert metric.protocol == stochrobust.Protocol()
    assert metric.n_features == 0
    with pytest.raises(TypeError, match="real must be True or False, got 'generated'"):
        metric.update(REAL, real="generated")
    take_in_sets(metric)
    with pytest.raises(ValueError, match="samples must have the 5 features of those before, got 2"):
        metric(REAL[:, :2], real=True)
    assert computed(metric) == expected_of_sets(name)


@pytest.mark.parametrize("name", METRICS)
def test_a_refused_forward_leaves_no_trace(name: str) -> None:
    """torchmetrics resets before it updates, so that an error in between would lose all samples."""
    metric = take_in(METRICS[name](), slice(0, N))
    wrong = {key: torch.full_like(value, torch.nan) for key, value in data().items()}
    with pytest.raises((ValueError, RuntimeError)):
        metric(**metric._filter_kwargs(**wrong))
    assert metric.compute().item() == pytest.approx(expected(name), rel=1e-6)
    assert metric._to_sync
    assert not metric._enable_grad


def test_the_four_share_features_and_neighbours_in_a_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []

    def counted(**kwargs: Any) -> Any:
        runs.append(kwargs["k"])
        return stochrobust.prdc(**kwargs)

    monkeypatch.setattr(sets, "prdc", counted)
    collection = torchmetrics.MetricCollection([SETS[name]() for name in FOUR])
    take_in_sets(collection, SHARES_OF_SETS)
    assert [sorted(group) for group in collection.compute_groups.values()] == [
        ["Coverage", "Density", "Precision", "Recall"]
    ]
    values = {name.lower(): value.item() for name, value in collection.compute().items()}
    assert values == expected_of_sets("four")
    assert runs == [3]
    collection.reset()
    take_in_sets(collection, (slice(0, 30),))
    half = stochrobust.prdc(real=REAL[:30], generated=GENERATED[:30], k=3)
    assert {name.lower(): value.item() for name, value in collection.compute().items()} == {
        name: getattr(half, name) for name in FOUR
    }


def test_one_result_is_not_taken_for_another() -> None:
    collection = torchmetrics.MetricCollection({"one": Precision(k=1), "five": Precision(k=5), "f": FrechetDistance()})
    values = take_in_sets(collection, SHARES_OF_SETS).compute()
    for k, key in ((1, "one"), (5, "five")):
        assert values[key].item() == stochrobust.precision_recall(real=REAL, generated=GENERATED, k=k).precision
    assert values["f"].item() == expected_of_sets("frechet")


class Counted(torch.nn.Module):
    """An extractor that is a module, counts its calls, and goes where it is told."""

    protocol = stochrobust.Protocol(extractor="counted")

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.calls = torch.nn.Parameter(torch.ones(1)), 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return self.weight * images.flatten(1)


def test_feature_share_runs_the_extractor_once_and_notices_a_rewritten_buffer() -> None:
    extractor = Counted()
    share = torchmetrics.wrappers.FeatureShare([FrechetDistance(extractor), Precision(3, extractor)])
    buffer = torch.empty(20, 3, 2, 2)
    images = torch.rand(40, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    for real in (True, False):
        for batch in images.split(20):
            share.update(buffer.copy_(batch if real else 0.5 * batch), real=real)
    assert extractor.calls == 4
    flat = images.flatten(1)
    assert share.compute()["FrechetDistance"].item() == pytest.approx(
        stochrobust.frechet_distance(real=flat, generated=0.5 * flat), rel=1e-6
    )
    other = stochrobust.ModuleFeatures(lambda images: images.flatten(1), name="other", weights="")
    with pytest.warns(UserWarning, match="has a different network"):
        torchmetrics.wrappers.FeatureShare([FrechetDistance(extractor), Precision(3, other)])


def test_extractors_move_with_the_metric_and_are_not_cast() -> None:
    class Placed:
        protocol = stochrobust.Protocol(extractor="placed")
        device = torch.device("cpu")

        def to(self, device: torch.device) -> None:
            self.device = device

        def __call__(self, images: Tensor) -> Tensor:
            return images.flatten(1)

    placed, module = Placed(), Counted()
    FrechetDistance(placed).to("meta")
    assert placed.device.type == "meta"
    metric = FrechetDistance(module).to("meta")
    assert module.weight.device.type == "meta"
    assert [key for key in metric.state_dict() if "weight" in key] == ["extractor.weight"]
    host = torch.nn.ModuleDict({"metric": Precision(3, Counted())}).to(torch.bfloat16)
    assert host["metric"].extractor.weight.dtype == torch.float32  # type: ignore[union-attr]


@of_two_sets
def test_states_kept_on_the_cpu(name: str) -> None:
    metric = SETS[name]()
    metric.compute_on_cpu = True
    assert computed(take_in_sets(metric, SHARES_OF_SETS)) == expected_of_sets(name)


def test_a_stack_has_the_value_of_its_rows_and_can_be_resampled() -> None:
    generator = torch.Generator().manual_seed(0)
    stack = torch.rand(40, 1, 3, 4, 4, generator=generator) + 0.1 * torch.randn(40, 4, 3, 4, 4, generator=generator)
    moved = stack + 0.01 * torch.randn(stack.shape, generator=generator)
    value = float(stochrobust.per_pixel_std(stack.flatten(0, 1), 4).mean())
    metric, robustness = PerPixelStd(), RobustnessPSNR(n_seeds=None)
    metric.update(stack)
    robustness.update(stack, moved)
    assert metric.compute().item() == pytest.approx(value, rel=1e-6)
    by_rows = stochrobust.robustness_psnr(stack.flatten(0, 1), moved.flatten(0, 1), n_seeds=4).double().mean()
    assert robustness.compute().item() == pytest.approx(float(by_rows), rel=1e-6)
    with pytest.raises(ValueError, match="attacked must have the 4 seeds of clean"):
        robustness.update(stack, moved[:, :2])
    with pytest.raises(ValueError, match="samples must have at least 2 dimension"):
        metric.update(torch.rand(4))
    resampled = torchmetrics.wrappers.BootStrapper(PerPixelStd(), num_bootstraps=5, sampling_strategy="multinomial")
    resampled.update(stack)
    assert resampled.compute()["mean"].item() == pytest.approx(value, rel=0.02)


def test_rows_that_were_resampled_one_by_one_are_noticed() -> None:
    rows_of_set = torch.rand(12, 5, generator=torch.Generator().manual_seed(0))
    metric = PerPixelStd(2)
    with pytest.warns(UserWarning, match=r"samples repeat outputs across inputs, .* give a stack \(B, S, ...\)"):
        metric.update(rows_of_set[[0, 1, 2, 0, 4, 5]])
    metric.update(rows_of_set[[0, 1, 0, 1]])  # an input twice
    metric.update(rows_of_set[[0, 0, 1, 1]])  # outputs that do not differ
    metric.update(torch.zeros(6, 5))
    RobustnessPSNR(1).update(rows_of_set[[0, 0]], rows_of_set[[1, 1]])


@pytest.mark.parametrize("make", [*SETS.values(), *METRICS.values()])
def test_which_way_is_better(make: Callable[[], Any]) -> None:
    """By what a better model gives; a monitor such as Lightning's checkpoint reads it."""
    metric = make()
    lower = {"FrechetDistance", "Attacked"}
    neither = {"AdversarialInputPSNR"}  # how visible a perturbation is
    name = type(metric).__name__
    assert metric.higher_is_better == (None if name in neither else name not in lower)


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
