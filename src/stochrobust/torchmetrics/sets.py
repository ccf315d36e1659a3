"""Metrics that compare the set of generated samples with that of real ones."""

from __future__ import annotations

from abc import abstractmethod
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from stochrobust._arguments import check_count, describe
from stochrobust.metrics._scatter import Scatter
from stochrobust.metrics.extractors import FeatureExtractor, ImageSet, extract_features
from stochrobust.metrics.features import Features, FeatureSet, check_finite_features, gather_features
from stochrobust.metrics.frechet import frechet_distance
from stochrobust.metrics.moments import FrechetStatistics
from stochrobust.metrics.prdc import PRDC, prdc
from stochrobust.metrics.protocol import Protocol, Score
from stochrobust.torchmetrics._base import Base


class _TwoSets(Base):
    """Two states, of any number of flat parts each: what the metric must know of the real and generated samples."""

    real: Any
    generated: Any
    n_features: Tensor

    def __init__(self, extractor: FeatureExtractor | None, dtype: torch.dtype, **kwargs: Any) -> None:
        super().__init__(dtype, **kwargs)
        self.extractor = extractor
        self._protocol: Protocol | None = None
        self.add_state("real", [], dist_reduce_fx="cat")
        self.add_state("generated", [], dist_reduce_fx="cat")
        self.add_state("n_features", torch.tensor(0), dist_reduce_fx="max")

    def update(self, samples: ImageSet | FeatureSet, real: bool) -> None:
        """Take in images, or features where there is no extractor, of the real or of the generated set."""
        features = self._features(samples).values
        side = self.real if real else self.generated
        self._take(features, side)
        self.n_features = torch.tensor(features.shape[1], device=self.device)

    def _features(self, samples: Any) -> Features:
        found = samples if self.extractor is None else extract_features(samples, self.extractor)
        features = gather_features("samples", found)
        check_finite_features("samples", features.values)
        protocol = self._protocol or features.protocol
        if features.protocol != protocol:
            difference = protocol.differences(features.protocol)
            raise ValueError(f"samples must have the protocol of those before, got another: {difference}")
        self._protocol = protocol
        known = int(self.n_features)
        if known and features.values.shape[1] != known:
            raise ValueError(f"samples must have {known} features as before, got {describe(features.values)}")
        return features

    @abstractmethod
    def _take(self, features: Tensor, side: list[Tensor]) -> None:
        """Keep what is needed of features that passed the checks."""

    def _parts(self, side: Any, length: int) -> Tensor:
        """The parts as rows of that length; of all processes, within ``compute``."""
        return dim_zero_cat(side).view(-1, length)

    @property
    def protocol(self) -> Protocol:
        """How the features that this process was given were made."""
        return self._protocol or (Protocol() if self.extractor is None else self.extractor.protocol)

    def reset(self) -> None:
        """Forget all samples and their protocol."""
        super().reset()
        self._protocol = None


class PrecisionRecallDensityCoverage(_TwoSets):
    """Precision, recall, density and coverage, see :func:`stochrobust.prdc`.

    All features are kept, as float32 unless ``set_dtype`` says otherwise. The result depends on the samples alone, not
    on their order or on the process that had them.

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

    def __init__(self, k: int = 5, extractor: FeatureExtractor | None = None, **kwargs: Any) -> None:
        super().__init__(extractor, torch.float32, **kwargs)
        self.k = check_count("k", k)

    def result(self) -> PRDC:
        """The numbers with their protocol, and which samples lie where; of this process."""
        sides = (self._parts(side, int(self.n_features)) for side in (self.real, self.generated))
        real, generated = (Features(rows, self.protocol) for rows in sides)
        return prdc(real=real, generated=generated, k=self.k)

    def compute(self) -> dict[str, Tensor]:
        """``precision``, ``recall``, ``density`` and ``coverage``, float64 scalars."""
        result = self.result()
        names = ("precision", "recall", "density", "coverage")
        return {name: torch.tensor(getattr(result, name), dtype=torch.float64, device=self.device) for name in names}

    def _take(self, features: Tensor, side: list[Tensor]) -> None:
        if torch.promote_types(features.dtype, self.dtype) != self.dtype:
            raise ValueError(f"samples must fit {self.dtype}, call set_dtype for others, got {describe(features)}")
        side.append(features.to(self.dtype).flatten())


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
        rows = features.double()
        sums = Scatter.of(rows)
        sums = self._sums(side).joined(sums) if side else sums
        side[:] = [torch.cat([rows.new_tensor([sums.count]), sums.mean, sums.products.flatten()])]

    def _sums(self, side: Any) -> Scatter:
        """Those of all parts: of batches, of merged metrics, of processes."""
        width = int(self.n_features)
        parts = self._parts(side, 1 + width + width * width)
        count, mean, products = parts[:, 0].tolist(), parts[:, 1 : 1 + width], parts[:, 1 + width :]
        shards = zip(map(int, count), mean, products.unflatten(1, (width, width)), strict=True)
        return reduce(Scatter.joined, (Scatter(*shard) for shard in shards))

    def _statistics(self, side: Any) -> FrechetStatistics:
        sums = self._sums(side)
        return FrechetStatistics.from_moments(sums.mean, sums.covariance(), sums.count, protocol=self.protocol)
