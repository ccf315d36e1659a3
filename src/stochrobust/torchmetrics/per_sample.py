"""Metrics that average a number which each input or output has by itself."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from stochrobust._arguments import check_count, check_scale, check_tensor, check_truth, describe
from stochrobust.attacks.ascent import Method, check_attack, check_ball
from stochrobust.attacks.balls import L2, Ball, check_radius
from stochrobust.attacks.by_gradient import EVALUATION
from stochrobust.consistency import consistency_psnr
from stochrobust.consistency.projector import Projector, check_projector
from stochrobust.estimators.contract import Estimator
from stochrobust.estimators.seeds import Randomness
from stochrobust.metrics.distortion import PSNRSummary, summarize_psnr
from stochrobust.metrics.diversity import per_pixel_std
from stochrobust.robustness.decibels import adversarial_input_psnr, robustness_psnr
from stochrobust.robustness.outputs import sensitivity
from stochrobust.torchmetrics._base import Base


class _PerSample(Base):
    """Mean over samples of a number that each has; all are kept, since the sum must not depend on their order."""

    values: Any  # a list, or one tensor after a merge or between processes

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(torch.float64, **kwargs)
        self.add_state("values", [], dist_reduce_fx="cat")

    def per_sample(self) -> Tensor:
        """``(N,)`` float64, ascending."""
        return dim_zero_cat(self.values).sort().values

    def compute(self) -> Tensor:
        """The mean, a float64 scalar."""
        return self.per_sample().mean()

    def _keep(self, values: Tensor) -> None:
        self.values.append(values.detach().double())


def _as_rows(name: str, samples: Tensor, n_seeds: int | None) -> tuple[Tensor, int]:
    """Outputs in sample-major order and their S, of a stack ``(B, S, ...)`` if it is not told."""
    if n_seeds is None:
        check_tensor(name, samples, min_ndim=2)
        return samples.flatten(0, 1), samples.shape[1]
    if isinstance(samples, Tensor) and n_seeds > 1 and _mixes_groups(samples, n_seeds):
        warnings.warn(
            f"{name} repeat outputs across inputs, as resampling of single rows does (BootStrapper): if that is so, "
            f"leave n_seeds out and give a stack (B, S, ...)",
            stacklevel=3,
        )
    return samples, n_seeds


def _mixes_groups(samples: Tensor, n_seeds: int) -> bool:
    """Whether two rows of different groups are equal, and vary, though their groups are not the same."""
    if samples.ndim < 2 or len(samples) % n_seeds:
        return False
    rows = samples.detach().flatten(1)
    keys = rows.sum(1, dtype=torch.float64)
    _, where, count = torch.unique(keys, return_inverse=True, return_counts=True)
    if int(count.max()) == 1:
        return False
    groups = torch.unique(where.view(-1, n_seeds), dim=0)  # of different inputs
    varies = rows.amax(1) > rows.amin(1)
    kinds = torch.cat([torch.unique(group) for group in groups])
    shared = torch.bincount(kinds, minlength=len(count))[where] > 1
    return bool((shared & varies).any())


class PerPixelStd(_PerSample):
    """Mean over inputs of :func:`stochrobust.per_pixel_std`.

    Args:
        n_seeds: S, samples per input, at least 2, of rows in sample-major order; None for stacks ``(B, S, ...)``, which
            is what a wrapper that resamples the first dimension needs (``BootStrapper``).
        kwargs: of ``torchmetrics.Metric``.

    Raises:
        TypeError, ValueError: if ``n_seeds`` is no such number.

    Example:
        >>> metric = PerPixelStd(n_seeds=2)
        >>> metric.update(torch.tensor([[0.0], [2.0]]))
        >>> metric.compute()
        tensor(1.4142, dtype=torch.float64)
    """

    higher_is_better = True

    def __init__(self, n_seeds: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n_seeds = None if n_seeds is None else check_count("n_seeds", n_seeds, minimum=2)

    def update(self, samples: Tensor) -> None:
        """Take in ``(B*S, ...)`` outputs, sample-major, or ``(B, S, ...)`` without ``n_seeds``."""
        rows, n_seeds = _as_rows("samples", samples, self.n_seeds)
        self._keep(per_pixel_std(rows, n_seeds))


class _Decibels(_PerSample):
    """Mean of the finite decibels; ``summary`` says how many were infinite."""

    def __init__(self, data_range: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_range = check_scale("data_range", data_range)

    def summary(self) -> PSNRSummary:
        """The mean of the finite values, and the counts of finite and infinite ones, of this process's samples."""
        return summarize_psnr(self.per_sample())

    def compute(self) -> Tensor:
        """The mean of the finite values in dB, ``inf`` if there are none; a float64 scalar."""
        return torch.tensor(self.summary().mean, dtype=torch.float64, device=self.device)


class RobustnessPSNR(_Decibels):
    """Mean over inputs of :func:`stochrobust.robustness_psnr` (Eq. 9).

    Args:
        n_seeds: S, outputs per input, of rows in sample-major order; None for stacks ``(B, S, ...)``, which is what a
            wrapper that resamples the first dimension needs (``BootStrapper``).
        data_range: peak of the outputs.
        kwargs: of ``torchmetrics.Metric``.

    Raises:
        TypeError, ValueError: if ``n_seeds`` is no such number.

    Example:
        >>> metric = RobustnessPSNR()
        >>> metric.update(torch.zeros(2, 5), torch.tensor([[0.1], [0.0]]).expand(2, 5))
        >>> metric.compute(), metric.summary()
        (tensor(20., dtype=torch.float64), PSNRSummary(mean=20.0, n_finite=1, n_infinite=1))
    """

    higher_is_better = True

    def __init__(self, n_seeds: int | None = 1, data_range: float = 1.0, **kwargs: Any) -> None:
        super().__init__(data_range, **kwargs)
        self.n_seeds = None if n_seeds is None else check_count("n_seeds", n_seeds)

    def update(self, clean: Tensor, attacked: Tensor) -> None:
        """Take in outputs at y and at y + delta with the same seeds, ``(B*S, ...)`` or, without ``n_seeds``, stacks."""
        rows, n_seeds = _as_rows("clean", clean, self.n_seeds)
        others, other_seeds = _as_rows("attacked", attacked, self.n_seeds)
        if other_seeds != n_seeds:
            raise ValueError(f"attacked must have the {n_seeds} seeds of clean, got {describe(attacked)}")
        self._keep(robustness_psnr(rows, others, n_seeds=n_seeds, data_range=self.data_range))


class AdversarialInputPSNR(_Decibels):
    """Mean over inputs of :func:`stochrobust.adversarial_input_psnr`.

    Args:
        data_range: peak of y.
        kwargs: of ``torchmetrics.Metric``.

    Example:
        >>> metric = AdversarialInputPSNR()
        >>> metric.update(torch.rand(2, 5), torch.full((2, 5), 0.01))
        >>> metric.compute()
        tensor(40., dtype=torch.float64)
    """

    higher_is_better = None

    def __init__(self, data_range: float = 1.0, **kwargs: Any) -> None:
        super().__init__(data_range, **kwargs)

    def update(self, y: Tensor, delta: Tensor) -> None:
        """Take in ``(B, ...)`` degraded inputs and their perturbations."""
        self._keep(adversarial_input_psnr(y, delta, data_range=self.data_range))


class ConsistencyPSNR(_Decibels):
    """Mean over samples of :func:`stochrobust.consistency_psnr`.

    Args:
        projector: what degrades an output.
        data_range: peak of the outputs, whose least value is 0.
        rounded: of the output as 8 bits would store it, instead of the floats.
        kwargs: of ``torchmetrics.Metric``.

    Raises:
        TypeError, ValueError: naming the argument.

    Example:
        >>> from stochrobust import BlockAverageProjector
        >>> metric = ConsistencyPSNR(BlockAverageProjector(2))
        >>> metric.update(torch.full((1, 3, 8, 8), 0.35), torch.full((1, 3, 4, 4), 0.25))
        >>> metric.compute()
        tensor(20., dtype=torch.float64)
    """

    higher_is_better = True

    def __init__(self, projector: Projector, data_range: float = 1.0, *, rounded: bool = False, **kwargs: Any) -> None:
        super().__init__(data_range, **kwargs)
        check_projector(projector)
        check_truth("rounded", rounded)
        self.projector, self.as_stored = projector, rounded

    def update(self, x_hat: Tensor, y: Tensor) -> None:
        """Take in ``(B, ...)`` outputs and the inputs that they restore."""
        both = consistency_psnr(x_hat, y, self.projector, data_range=self.data_range)
        self._keep(both.rounded if self.as_stored else both.raw)


class Sensitivity(_PerSample):
    """Mean over inputs of :func:`stochrobust.sensitivity`, squared (Eq. 7): attacks G at each ``update``.

    It asks for gradients by itself, in a validation loop under ``no_grad`` or ``inference_mode`` too. With
    ``generator=SampleKeys(...)`` the result does not depend on batches or processes.

    Args:
        eps: radius, absolute, in units of y.
        n_seeds: S, seeds per input.
        attack: the ascent.
        ball: where delta may be.
        kwargs: of ``torchmetrics.Metric``.

    Attributes:
        n_stalled: how many inputs had no gradient, so that nothing was searched.

    Raises:
        TypeError, ValueError: naming the argument.

    Example:
        >>> metric = Sensitivity(eps=0.1)
        >>> metric.update(lambda y: 3 * y, torch.zeros(4, 2))
        >>> round(metric.compute().item(), 4)
        0.09
    """

    higher_is_better = False
    n_stalled: Tensor

    def __init__(
        self,
        eps: float,
        n_seeds: int = 1,
        *,
        attack: Method = EVALUATION,
        ball: Ball = L2(),  # noqa: B008 (a frozen value)
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.add_state("n_stalled", torch.tensor(0), dist_reduce_fx="sum")
        check_radius(eps)
        check_count("n_seeds", n_seeds)
        check_attack(attack)
        check_ball(ball)
        self.eps, self.n_seeds, self.attack, self.ball = eps, n_seeds, attack, ball

    def update(self, G: Estimator, y: Tensor, generator: Randomness = None) -> None:
        """Take in ``(B, ...)`` degraded inputs of an estimator."""
        found = sensitivity(G, y, self.eps, self.n_seeds, attack=self.attack, ball=self.ball, generator=generator)
        self._keep(found.value)
        self.n_stalled += found.stalled.sum()
