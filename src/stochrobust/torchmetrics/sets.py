"""Metrics that compare the set of generated samples with that of real ones."""

from __future__ import annotations

import weakref
from abc import abstractmethod
from functools import reduce
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from stochrobust._arguments import check_count, check_finite, describe
from stochrobust.metrics._scatter import Scatter
from stochrobust.metrics.extractors import FeatureExtractor, ImageSet, check_extractor, extract_features
from stochrobust.metrics.features import Features, FeatureSet, gather_features
from stochrobust.metrics.frechet import frechet_distance
from stochrobust.metrics.manifolds import PRDC, prdc
from stochrobust.metrics.moments import FrechetStatistics
from stochrobust.metrics.protocol import Protocol, Score, protocol_from_json, protocol_to_json
from stochrobust.torchmetrics._base import Base


class _TwoSets(Base):
    """Two states, of any number of flat parts each: what the metric must know of the real and generated samples.

    A third is what all features must agree in, so that it is merged, gathered and saved like them: a line of JSON,
    whose bytes are numbers of the metric's dtype.
    """

    real: Any
    generated: Any
    conditions: Any
    feature_network = "network"  # what torchmetrics' FeatureShare shares

    def __init__(self, extractor: FeatureExtractor | None, dtype: torch.dtype, **kwargs: Any) -> None:
        super().__init__(dtype, **kwargs)
        if extractor is not None:
            check_extractor(extractor)
        self.network = None if extractor is None else _Extraction(extractor)
        self.extractor = extractor
        for name in ("real", "generated", "conditions"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, samples: ImageSet | FeatureSet, real: bool) -> None:
        """Take in images, or features where there is no extractor, of the real or of the generated set."""
        if not isinstance(real, bool):
            raise TypeError(f"real must be True or False, got {describe(real)}")
        found: Any = samples if self.network is None else self._extracted(samples)
        features = gather_features("samples", found)
        check_finite("samples", features.values)
        kind = _Kind(features.values.shape[1], features.protocol)
        known = self._kind(self.conditions)
        if known:
            _check_same("samples must", kind, known, "before")
        self._take(features.values, self.real if real else self.generated)
        self._remember(known or kind)

    def forward(self, samples: ImageSet | FeatureSet, real: bool) -> None:
        """:meth:`update`: a batch of one of the two sets has no value of its own."""
        self.update(samples, real)

    def merge_state(self, incoming_state: dict[str, Any] | Metric) -> None:
        """Take in the samples of another such metric, if they are of the same width and protocol.

        Raises:
            ValueError: if they are not, or it is no such metric.
        """
        other = incoming_state.metric_state if isinstance(incoming_state, Metric) else incoming_state
        theirs = self._kind(other.get("conditions", ()))
        mine = self._kind(self.conditions)
        if theirs and mine:
            _check_same("incoming_state must", theirs, mine, "of this metric")
        super().merge_state(incoming_state)
        if kind := mine or theirs:
            self._remember(kind)

    @property
    def protocol(self) -> Protocol:
        """How the features that this metric was given were made."""
        if kind := self._kind(self.conditions):
            return kind.protocol
        return Protocol() if self.extractor is None else self.extractor.protocol

    @property
    def n_features(self) -> int:
        """The number of features of a sample, 0 before there is one."""
        kind = self._kind(self.conditions)
        return kind.n_features if kind else 0

    @abstractmethod
    def _take(self, features: Tensor, side: list[Tensor]) -> None:
        """Keep copies of what is needed of features that passed the checks; or raise, and keep nothing."""

    def _extracted(self, images: Any) -> Features:
        """By the network, which may be one with a cache: for the same images, unless written to in between."""
        if isinstance(images, Tensor) and not images.is_inference():
            return self.network(images, images._version)  # type: ignore[misc, no-any-return]
        return extract_features(images, self.extractor)  # type: ignore[arg-type]

    def _parts(self, side: Any, length: int) -> Tensor:
        """The parts as rows of that length; of all processes, within ``compute``."""
        return dim_zero_cat(side).view(-1, length)

    def _remember(self, kind: _Kind) -> None:
        line = bytearray(f"{kind.n_features} {protocol_to_json(kind.protocol)}\n".encode())
        self.conditions = [torch.frombuffer(line, dtype=torch.uint8).to(self.device, self.dtype)]

    def _kind(self, conditions: Any) -> _Kind | None:
        """The one kind of all parts, of all processes within ``compute``; None where there is no sample."""
        if not len(conditions):
            return None
        lines = dim_zero_cat(conditions).to("cpu", torch.uint8).numpy().tobytes().decode().splitlines()
        kinds = [_Kind.of(line) for line in dict.fromkeys(lines)]
        for other in kinds[1:]:
            _check_same("features of each process must", other, kinds[0], "of the first")
        return kinds[0] if kinds else None

    def _apply(self, *args: Any, **kwargs: Any) -> Self:
        """Moves the extractor too."""
        before = self.device
        super()._apply(*args, **kwargs)
        move = getattr(getattr(self, "extractor", None), "to", None)
        if self.device != before and move is not None:
            move(self.device)
        return self


class _Kind(NamedTuple):
    """What all features must agree in."""

    n_features: int
    protocol: Protocol

    @classmethod
    def of(cls, line: str) -> _Kind:
        n_features, protocol = line.split(" ", 1)
        return cls(int(n_features), protocol_from_json(protocol))


def _check_same(who: str, found: _Kind, known: _Kind, whose: str) -> None:
    if found.n_features != known.n_features:
        raise ValueError(f"{who} have the {known.n_features} features of those {whose}, got {found.n_features}")
    if found.protocol != known.protocol:
        difference = known.protocol.differences(found.protocol)
        raise ValueError(f"{who} have the protocol of those {whose}, got another: {difference}")


class _Extraction(nn.Module):
    """The extraction of features as a module, for ``FeatureShare``; the extractor is the metric's, no child of this."""

    def __init__(self, extractor: FeatureExtractor) -> None:
        super().__init__()
        self._held = (extractor,)

    def forward(self, images: Tensor, version: int) -> Features:
        """``version`` tells images apart that were written to one tensor one after the other."""
        return extract_features(images, self._held[0])

    def extra_repr(self) -> str:
        """What ``FeatureShare`` compares."""
        return repr(self._held[0].protocol)


class _Known(NamedTuple):
    """A result and the very tensors it is of, so that metrics that share their states share it too."""

    parts: tuple[weakref.ref[Tensor], ...]
    k: int
    result: PRDC

    def is_of(self, parts: list[Tensor], k: int) -> bool:
        same = (known() is part for known, part in zip(self.parts, parts, strict=False))
        return k == self.k and len(parts) == len(self.parts) and all(same)


class _Neighbours(_TwoSets):
    """All features are kept, as float32 unless ``set_dtype`` says otherwise."""

    _latest: ClassVar[_Known | None] = None

    def __init__(self, k: int = 5, extractor: FeatureExtractor | None = None, **kwargs: Any) -> None:
        super().__init__(extractor, torch.float32, shares_states=True, **kwargs)
        self.k = check_count("k", k)

    def result(self) -> PRDC:
        """The numbers with their protocol, and which samples lie where; of this process."""
        parts = [
            part for side in (self.real, self.generated) for part in ([side] if isinstance(side, Tensor) else side)
        ]
        known = _Neighbours._latest
        if known is None or not known.is_of(parts, self.k):
            sides = (self._parts(side, self.n_features) for side in (self.real, self.generated))
            real, generated = (Features(rows, self.protocol) for rows in sides)
            known = _Known(tuple(map(weakref.ref, parts)), self.k, prdc(real=real, generated=generated, k=self.k))
            _Neighbours._latest = known
        return known.result

    def _take(self, features: Tensor, side: list[Tensor]) -> None:
        if torch.promote_types(features.dtype, self.dtype) != self.dtype:
            raise ValueError(f"samples must fit {self.dtype}, call set_dtype for others, got {describe(features)}")
        side.append(features.to(self.dtype, copy=True).flatten())

    def _scalar(self, value: float) -> Tensor:
        return torch.tensor(value, dtype=torch.float64, device=self.device)


class PrecisionRecallDensityCoverage(_Neighbours):
    """Precision, recall, density and coverage, see :func:`stochrobust.prdc`.

    All features are kept, as float32 unless ``set_dtype`` says otherwise. The result depends on the samples alone, not
    on their order or on the process that had them. :class:`Precision`, :class:`Recall`, :class:`Density` and
    :class:`Coverage` are the same numbers one by one, for loggers that take scalars.

    Args:
        k: number of neighbours.
        extractor: makes features of the images that ``update`` is given; None if it is given features.
        kwargs: of ``torchmetrics.Metric``.

    Raises:
        TypeError, ValueError: if ``k`` is no such number.

    Example:
        >>> metric = PrecisionRecallDensityCoverage(k=1)
        >>> metric.update(torch.tensor([[0.0], [1.0], [2.0], [6.0]]), real=True)
        >>> metric.update(torch.tensor([[0.5], [1.0], [9.0]]), real=False)
        >>> metric.compute()["density"]
        tensor(2., dtype=torch.float64)
    """

    higher_is_better = True

    def compute(self) -> dict[str, Tensor]:
        """``precision``, ``recall``, ``density`` and ``coverage``, float64 scalars."""
        result = self.result()
        return {name: self._scalar(getattr(result, name)) for name in ("precision", "recall", "density", "coverage")}


class Precision(_Neighbours):
    """Share of the generated samples in the manifold of the real ones, see :func:`stochrobust.precision_recall`.

    In a ``MetricCollection`` it shares features and neighbours with :class:`Recall`, :class:`Density` and
    :class:`Coverage` of the same ``k`` and extractor: the four cost what one costs.

    Args:
        k: number of neighbours.
        extractor: makes features of the images that ``update`` is given; None if it is given features.
        kwargs: of ``torchmetrics.Metric``.

    Raises:
        TypeError, ValueError: if ``k`` is no such number.

    Example:
        >>> from torchmetrics import MetricCollection
        >>> collection = MetricCollection([Precision(k=1), Recall(k=1)])
        >>> collection.update(torch.tensor([[0.0], [1.0], [2.0], [6.0]]), real=True)
        >>> collection.update(torch.tensor([[0.5], [1.0], [9.0]]), real=False)
        >>> {name: value.item() for name, value in collection.compute().items()}
        {'Precision': 1.0, 'Recall': 1.0}
    """

    higher_is_better = True

    def compute(self) -> Tensor:
        """A float64 scalar in [0, 1]."""
        return self._scalar(self.result().precision)


class Recall(_Neighbours):
    """Share of the real samples in the manifold of the generated ones, see :func:`stochrobust.precision_recall`.

    Args:
        k, extractor, kwargs: as of :class:`Precision`.

    Example:
        >>> metric = Recall(k=1)
        >>> metric.update(torch.tensor([[0.0], [1.0], [2.0], [3.0]]), real=True)
        >>> metric.update(torch.tensor([[1.0], [1.25], [1.5], [1.75]]), real=False)
        >>> metric.compute()
        tensor(0.5000, dtype=torch.float64)
    """

    higher_is_better = True

    def compute(self) -> Tensor:
        """A float64 scalar in [0, 1]."""
        return self._scalar(self.result().recall)


class Density(_Neighbours):
    """Mean number of real balls around a generated sample, over k, see :func:`stochrobust.density_coverage`.

    Args:
        k, extractor, kwargs: as of :class:`Precision`.

    Example:
        >>> metric = Density(k=1)
        >>> metric.update(torch.tensor([[0.0], [1.0], [2.0], [6.0]]), real=True)
        >>> metric.update(torch.tensor([[0.5], [1.0], [9.0]]), real=False)
        >>> metric.compute()
        tensor(2., dtype=torch.float64)
    """

    higher_is_better = True

    def compute(self) -> Tensor:
        """A float64 scalar, about 1 for equal laws."""
        return self._scalar(self.result().density)


class Coverage(_Neighbours):
    """Share of the real samples whose ball holds a generated one, see :func:`stochrobust.density_coverage`.

    Args:
        k, extractor, kwargs: as of :class:`Precision`.

    Example:
        >>> metric = Coverage(k=1)
        >>> metric.update(torch.tensor([[0.0], [1.0], [2.0]]), real=True)
        >>> metric.update(torch.tensor([[0.0], [0.5]]), real=False)
        >>> metric.compute()
        tensor(0.6667, dtype=torch.float64)
    """

    higher_is_better = True

    def compute(self) -> Tensor:
        """A float64 scalar in [0, 1]."""
        return self._scalar(self.result().coverage)


class FrechetDistance(_TwoSets):
    """The Frechet distance, FID for Inception features, see :func:`stochrobust.frechet_distance`.

    Only float64 moments are kept; several processes give what one would up to rounding.

    Args:
        extractor: makes features of the images that ``update`` is given; None if it is given features.
        kwargs: of ``torchmetrics.Metric``.

    Example:
        >>> metric = FrechetDistance()
        >>> real = torch.tensor([[-1.0], [1.0]])
        >>> metric.update(real, real=True)
        >>> metric.update(3 * real + 5, real=False)
        >>> metric.compute()
        tensor(33., dtype=torch.float64)
    """

    higher_is_better = False

    def __init__(self, extractor: FeatureExtractor | None = None, **kwargs: Any) -> None:
        super().__init__(extractor, torch.float64, **kwargs)

    def result(self) -> Score:
        """The number with its protocol; of this process."""
        real, generated = (self._statistics(side) for side in (self.real, self.generated))
        return frechet_distance(real=real, generated=generated)

    def compute(self) -> Tensor:
        """The distance, a float64 scalar."""
        return torch.tensor(self.result(), dtype=torch.float64, device=self.device)

    def _take(self, features: Tensor, side: list[Tensor]) -> None:
        sums = Scatter.of(features.double())
        if side:
            sums = self._sums(side, features.device, features.shape[1]).joined(sums)
        count = sums.mean.new_tensor([sums.count])
        side[:] = [torch.cat([count, sums.mean, sums.products.flatten()])]

    def _sums(self, side: Any, device: torch.device, width: int) -> Scatter:
        """Those of all parts: of batches, of merged metrics, of processes; on this device (``compute_on_cpu``)."""
        parts = self._parts(side, 1 + width + width * width).to(device)
        count, mean, products = parts[:, 0].tolist(), parts[:, 1 : 1 + width], parts[:, 1 + width :]
        shards = zip(map(int, count), mean, products.unflatten(1, (width, width)), strict=True)
        return reduce(Scatter.joined, (Scatter(*shard) for shard in shards))

    def _statistics(self, side: Any) -> FrechetStatistics:
        device = dim_zero_cat(side).device
        sums = self._sums(side, device, self.n_features)
        return FrechetStatistics.from_moments(sums.mean, sums.covariance(), sums.count, protocol=self.protocol)
