"""Whether a restoration leaves of a noisy input what the noise is."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from stochrobust._arguments import check_count, check_finite, check_real, check_tensor, describe
from stochrobust.consistency.projector import Projector, check_projector


def noise_consistency(
    x_hat: Tensor,
    y: Tensor,
    projector: Projector,
    noise: float | Tensor | Callable[[Tensor], Tensor],
    n_seeds: int = 1,
) -> Tensor:
    r"""What restorations leave of their inputs, as a multiple of the noise that was in them.

    ``mean_s 1/m sum_j (y_j - D(x_hat_s)_j)^2 / sigma_j^2`` over the m observed elements j of y, for
    ``y = D(x) + sigma n``. Its mean over inputs has three readings:

    - 1: outputs are as far from y as sources are. So are samples of the posterior.
    - between: ``1 - tr(D S D^T) / (m sigma^2)`` is that of the posterior mean, S the posterior's covariance; from 0
      (the noise is all kept) to 1 (y tells nothing that the mean did not know).
    - 0: D(x_hat) is y, noise included: right where there is none, and too much trust in y where there is some.

    Above 1 the outputs do not agree with y. Take the interval over inputs, :func:`~stochrobust.interval_of_mean`; the
    standard error ``sqrt(2 / (m N))`` holds for one output an input and independent Gaussian noise only.

    Args:
        x_hat: ``(B*S, ...)`` restorations, sample-major: row ``b*S + s`` is input b with seed s.
        y: ``(B, ...)`` inputs, noisy.
        projector: of the degradation D, one of :mod:`stochrobust.consistency`; elements of y that it does not observe
            do not count.
        noise: sigma, above 0, in units of y: a number; a tensor that broadcasts to y; or what makes one of D(x_hat),
            for noise that depends on the signal, such as ``lambda y: (0.01 * y.clamp(min=0) + 1e-4).sqrt()``.
        n_seeds: S, at least 1.

    Returns:
        ``(B,)`` in float32 (float64 for float64 inputs).

    Raises:
        TypeError: if ``projector`` has not the methods of a :class:`~stochrobust.consistency.Projector`, or an argument
            is of a wrong kind.
        ValueError: if shapes do not fit, a value is not finite, y is not observed anywhere, or sigma is not positive.

    Example:
        >>> import torch
        >>> from stochrobust.consistency import BlockAverageProjector
        >>> projector, rows = BlockAverageProjector(2), torch.Generator().manual_seed(0)
        >>> x = torch.rand(8, 1, 64, 64, generator=rows)
        >>> y = projector.D(x) + 0.1 * torch.randn(8, 1, 32, 32, generator=rows)
        >>> round(noise_consistency(x, y, projector, 0.1).mean().item(), 1)  # of the sources themselves
        1.0
        >>> round(noise_consistency(projector.pinv(y), y, projector, 0.1).mean().item(), 1)
        0.0

    Source: the discrepancy principle of V. Morozov, 1966; that samples of the posterior have 1 follows from x and
    x_hat having one law given y.
    """
    check_projector(projector)
    check_count("n_seeds", n_seeds)
    check_tensor("x_hat", x_hat, min_ndim=2)
    check_tensor("y", y, min_ndim=2)
    if len(x_hat) != len(y) * n_seeds:
        raise ValueError(f"x_hat must have {n_seeds} rows for each of y, {describe(y)}, got {describe(x_hat)}")
    dtype = torch.promote_types(torch.promote_types(x_hat.dtype, y.dtype), torch.float32)
    outputs, inputs = x_hat.to(dtype).unflatten(0, (len(y), n_seeds)), y.to(dtype)
    observed = projector.residual(torch.zeros_like(outputs[:, 0]), torch.ones_like(inputs)) != 0
    counts = observed.flatten(1).sum(1)
    if not bool((counts > 0).all()):
        raise ValueError(f"projector must observe an element of every y, got none for {int((counts == 0).sum())}")
    values = [_of_seed(outputs[:, seed], inputs, projector, noise, observed) / counts for seed in range(n_seeds)]
    return torch.stack(values).mean(0)


def _of_seed(
    x_hat: Tensor, y: Tensor, projector: Projector, noise: float | Tensor | Callable[[Tensor], Tensor], observed: Tensor
) -> Tensor:
    """(B,) the sum of the squared residuals in units of sigma."""
    residual = projector.residual(x_hat, y)
    check_finite("y - D(x_hat)", residual)
    sigma = _sigma(noise, y - residual).expand(y.shape)
    if not bool((sigma[observed] > 0).all()):
        raise ValueError(f"noise must be above 0 wherever y is observed, got {float(sigma[observed].min()):.3g}")
    return torch.where(observed, residual / sigma, 0).square().flatten(1).sum(1)


def _sigma(noise: object, degraded: Tensor) -> Tensor:
    if callable(noise):
        noise = noise(degraded)
        check_tensor("what noise returns", noise)
    if not isinstance(noise, Tensor):
        return degraded.new_tensor(check_real("noise", noise, minimum=0.0, open_minimum=True))
    check_finite("noise", noise)
    try:
        return noise.to(degraded.dtype).broadcast_to(degraded.shape)
    except RuntimeError as error:
        raise ValueError(f"noise must broadcast to y, {describe(degraded)}, got {describe(noise)}") from error
