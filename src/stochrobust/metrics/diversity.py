"""How much the outputs for one input differ: the per-pixel standard deviation over seeds."""

from __future__ import annotations

import torch
from torch import Tensor

from stochrobust._arguments import check_alike, check_count, check_finite, check_tensor, describe
from stochrobust._tensors import working

_CHUNK = 2**17  # elements of a stack in memory at once


def per_pixel_std(samples: Tensor, n_seeds: int, *, mask: Tensor | None = None) -> Tensor:
    """Standard deviation of each output element over the seeds, averaged over the elements, for each input.

    ``mean_l sqrt(sum_s (x_sl - mean_s x_sl)^2 / (S - 1))``: a mean of standard deviations (not the root of a mean
    variance), unbiased in the variance (S - 1, not S), over all the elements, those that consistency fixes included
    unless ``mask`` leaves them out.

    Args:
        samples: ``(B*S, ...)`` outputs, sample-major: row ``b*S + s`` is input b with seed s; any range, in whose
            units the result is.
        n_seeds: S, at least 2.
        mask: optional bool tensor that broadcasts to ``(B, ...)``: true for the elements to average over.

    Returns:
        ``(B,)`` in float32 (float64 for float64 samples). Differentiable.

    Raises:
        TypeError: if ``samples`` is not a real floating-point tensor, ``n_seeds`` no integer or ``mask`` not bool.
        ValueError: if the batch is not a multiple of ``n_seeds``, a value is not finite, ``mask`` does not broadcast
            or leaves an input without elements, or there are fewer than 2 seeds.

    Example:
        >>> import torch
        >>> per_pixel_std(torch.tensor([[0.0, 5.0], [2.0, 5.0], [0.0, 1.0], [0.0, 5.0]]), n_seeds=2)
        tensor([0.7071, 1.4142])

    Source: Ohayon et al., ICML 2023, Section 6.1.1 (32 samples per input).
    """
    check_tensor("samples", samples, min_ndim=1)
    check_count("n_seeds", n_seeds, minimum=2)
    if len(samples) % n_seeds:
        raise ValueError(f"samples must have a multiple of n_seeds = {n_seeds} rows, got {describe(samples)}")
    deviations = _std_over_seeds(samples.reshape(-1, n_seeds, samples[0].numel()))
    if not bool(torch.isfinite(deviations).all()):  # so they are where a sample is not finite, or its square
        check_finite("samples", samples)
    return _average(deviations.view(-1, *samples.shape[1:]), mask)


class PerPixelStd:
    """The same as :func:`per_pixel_std` from one sample per input at a time, in memory that does not grow.

    Welford's update, on differences from the first sample, so that a large common offset costs no accuracy. The state
    is three tensors of the shape of an output, in float32 (float64 for float64 outputs). No gradient.

    Example:
        >>> import torch
        >>> spread = PerPixelStd()
        >>> for x_hat in (torch.tensor([[0.0, 5.0]]), torch.tensor([[2.0, 5.0]])):
        ...     spread.update(x_hat)
        >>> spread.n_samples, spread.compute(), spread.map()
        (2, tensor([0.7071]), tensor([[1.4142, 0.0000]]))

    Source: B. Welford, Note on a method for calculating corrected sums of squares and products, Technometrics 1962.
    """

    def __init__(self) -> None:
        self.n_samples = 0
        self._first = self._mean = self._squares = torch.empty(0)

    @torch.no_grad()
    def update(self, x_hat: Tensor) -> None:
        """Take in one more sample for each input.

        Args:
            x_hat: ``(B, ...)`` outputs, of the same shape, dtype and device each time; not kept, nor changed.

        Raises:
            TypeError: if it is not a real floating-point tensor.
            ValueError: if it is not finite, or unlike the first.
        """
        check_tensor("x_hat", x_hat, min_ndim=1)
        if self.n_samples:
            check_alike("x_hat", working(x_hat), "the first", self._first)
        check_finite("x_hat", x_hat)
        if not self.n_samples:
            self._first = working(x_hat).clone()
            self._mean, self._squares = torch.zeros_like(self._first), torch.zeros_like(self._first)
        self.n_samples += 1
        shifted = working(x_hat) - self._first
        step = shifted - self._mean
        self._mean.add_(step, alpha=1 / self.n_samples)
        self._squares.addcmul_(step, shifted.sub_(self._mean))

    def map(self) -> Tensor:
        """Standard deviation of each output element, ``(B, ...)``.

        Raises:
            ValueError: if there were fewer than 2 samples.
        """
        if self.n_samples < 2:
            raise ValueError(f"a standard deviation needs at least 2 samples, got {self.n_samples}")
        return (self._squares / (self.n_samples - 1)).sqrt_()

    def compute(self, mask: Tensor | None = None) -> Tensor:
        """Mean of the map over the elements of each input, or over those where ``mask`` is true, ``(B,)``.

        Raises:
            TypeError: if ``mask`` is not bool.
            ValueError: if there were fewer than 2 samples, or ``mask`` does not broadcast to ``(B, ...)`` or leaves an
                input without elements.
        """
        return _average(self.map(), mask)


def _std_over_seeds(stack: Tensor) -> Tensor:
    """``(B, S, n)`` to ``(B, n)``: a few inputs, or a part of one, at a time, which caches hold.

    By differences from the first sample, so that a large common offset costs no accuracy.
    """
    _, n_seeds, n = stack.shape
    if stack.device.type != "cpu" or (torch.is_grad_enabled() and stack.requires_grad):
        return _std_of_part(stack)  # all at once: there parts save nothing
    inputs = stack.split(max(1, _CHUNK // (n_seeds * n)))
    return torch.cat([torch.cat([_std_of_part(p) for p in i.split(max(1, _CHUNK // n_seeds), 2)], 1) for i in inputs])


def _std_of_part(stack: Tensor) -> Tensor:
    stack = working(stack)
    shifted = stack - stack[:, :1]
    variance = (shifted - shifted.mean(1, keepdim=True)).square().sum(1) / (stack.shape[1] - 1)
    return variance.where(variance != 0, 1.0).sqrt().where(variance != 0, 0.0)  # where nothing varies, no gradient


def _average(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the elements of each sample, or over those where the mask is true."""
    if mask is None:
        return values.reshape(len(values), -1).mean(1)
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        raise TypeError(f"mask must be a bool tensor, got {describe(mask)}")
    try:
        chosen = mask.to(values.device).expand(values.shape).reshape(len(values), -1)
    except RuntimeError as error:
        raise ValueError(f"mask must broadcast to {tuple(values.shape)}, got {describe(mask)}") from error
    count = chosen.sum(1)
    if not bool(count.all()):
        raise ValueError(f"mask must be true somewhere for each input, got {describe(mask)} that is not")
    return values.reshape(len(values), -1).where(chosen, 0.0).sum(1) / count
