"""Robustness in decibels (Eq. 9), and the exchange between the radius of an attack and its PSNR."""

from __future__ import annotations

import math
from typing import overload

import torch
from torch import Tensor

from stochrobust._arguments import check_count, check_finite, check_real, check_scale, check_tensor, describe
from stochrobust._tensors import working
from stochrobust.metrics.distortion import psnr_of_difference, psnr_of_pair


def robustness_psnr(clean: Tensor, attacked: Tensor, *, n_seeds: int = 1, data_range: float = 1.0) -> Tensor:
    """Robustness of each input in decibels: the mean PSNR, over seeds, of clean and attacked outputs of one seed.

    ``E_Z[PSNR(G(y, Z), G(y + delta, Z))]`` for each y (Eq. 9; its mean over y is the reported number). It is a mean of
    decibels, not the decibels of a mean; one seed whose output did not change at all makes it infinite.

    Args:
        clean: ``(B*S, ...)`` outputs at y, sample-major: row ``b*S + s`` is input b with seed s.
        attacked: of the same shape, dtype and device: outputs at y + delta, with the same seeds.
        n_seeds: S, at least 1.
        data_range: peak of the outputs, above 0.

    Returns:
        ``(B,)`` in dB.

    Raises:
        TypeError, ValueError: as :func:`psnr`, and if the batch is not a multiple of ``n_seeds``.

    Example:
        >>> import torch
        >>> clean = torch.zeros(4, 10)
        >>> attacked = torch.tensor([0.1, 0.01, 0.1, 0.0]).view(4, 1).expand(4, 10)
        >>> robustness_psnr(clean, attacked, n_seeds=2)
        tensor([30., inf])

    Source: Ohayon et al., ICML 2023, Eq. 9.
    """
    check_count("n_seeds", n_seeds)
    values = psnr_of_pair("clean", clean, "attacked", attacked, data_range)
    if len(values) % n_seeds:
        raise ValueError(f"clean must have a multiple of n_seeds = {n_seeds} rows, got {describe(clean)}")
    return values.view(-1, n_seeds).mean(1)


def adversarial_input_psnr(y: Tensor, delta: Tensor, *, data_range: float = 1.0) -> Tensor:
    """AI-PSNR: how visible each perturbation is, ``PSNR(y, y + delta)``, infinite where there is none.

    It is taken from ``delta`` itself, not from the rounded sum ``y + delta``.

    Args:
        y: ``(B, ...)`` degraded inputs.
        delta: their perturbations, of the same shape and device; the dtype may be wider.
        data_range: peak of y, above 0.

    Returns:
        ``(B,)`` in dB.

    Raises:
        TypeError, ValueError: as :func:`psnr`.

    Example:
        >>> import torch
        >>> adversarial_input_psnr(torch.ones(1, 100), torch.full((1, 100), 1e-9))
        tensor([180.])

    Source: Ohayon et al., ICML 2023, Section 6.1.1.
    """
    check_tensor("y", y, min_ndim=1)
    check_tensor("delta", delta)
    if delta.shape != y.shape or delta.device != y.device:
        raise ValueError(f"delta must have the shape and device of y, {describe(y)}, got {describe(delta)}")
    check_finite("y", y)
    return psnr_of_difference({"delta": delta}, data_range)


@overload
def eps_from_psnr(psnr_db: float, n_elements: int, *, data_range: float = 1.0) -> float: ...
@overload
def eps_from_psnr(psnr_db: Tensor, n_elements: int, *, data_range: float = 1.0) -> Tensor: ...
def eps_from_psnr(psnr_db: float | Tensor, n_elements: int, *, data_range: float = 1.0) -> float | Tensor:
    """L2 radius of the perturbations that have a given PSNR: ``eps = data_range sqrt(n) 10^(-psnr / 20)``.

    Args:
        psnr_db: AI-PSNR in dB, a number or a tensor; ``inf`` gives 0.
        n_elements: n, the number of elements of *one* y as the attack sees it, at least 1: 3 * 64 * 64 for a colour
            image, of the low resolution in super-resolution.
        data_range: peak of y, above 0.

    Returns:
        eps, as a number or a tensor; the inverse of :func:`psnr_from_eps`.

    Raises:
        TypeError: if an argument is not of its kind.
        ValueError: if ``psnr_db`` is NaN or ``-inf``, ``n_elements`` below 1 or ``data_range`` not above 0.

    Example:
        >>> round(eps_from_psnr(34.0, 3 * 16 * 16), 3), round(eps_from_psnr(34.0, 3 * 4 * 4), 3)
        (0.553, 0.138)

    Source: Ohayon et al., ICML 2023, Section 6.1.1 and Appendix E.2.3.
    """
    value = _as_tensor("psnr_db", psnr_db)
    if not bool((value > -math.inf).all()):
        raise ValueError(f"psnr_db must be neither NaN nor -inf, got {describe(psnr_db)}")
    eps = 10 ** (_sphere_db(n_elements, data_range) / 20 - value / 20)
    return eps if isinstance(psnr_db, Tensor) else float(eps)


@overload
def psnr_from_eps(eps: float, n_elements: int, *, data_range: float = 1.0) -> float: ...
@overload
def psnr_from_eps(eps: Tensor, n_elements: int, *, data_range: float = 1.0) -> Tensor: ...
def psnr_from_eps(eps: float | Tensor, n_elements: int, *, data_range: float = 1.0) -> float | Tensor:
    """PSNR of the perturbations of a given L2 norm: ``psnr = 20 log10(data_range sqrt(n) / eps)``.

    Args:
        eps: L2 norm over all the elements of one y, a number or a tensor, at least 0; 0 gives ``inf``.
        n_elements: n, the number of elements of one y, at least 1.
        data_range: peak of y, above 0.

    Returns:
        The PSNR in dB, as a number or a tensor; the inverse of :func:`eps_from_psnr`. Perturbations inside the ball
        have at least this PSNR.

    Raises:
        TypeError: if an argument is not of its kind.
        ValueError: if ``eps`` is negative or not finite, ``n_elements`` below 1 or ``data_range`` not above 0.

    Example:
        >>> round(psnr_from_eps(2.5, 3 * 64 * 64), 2)
        32.94

    Source: Ohayon et al., ICML 2023, Section 6.1.1 and Appendix E.2.3.
    """
    value = _as_tensor("eps", eps)
    if not bool(((value >= 0) & (value < math.inf)).all()):
        raise ValueError(f"eps must be at least 0 and finite, got {describe(eps)}")
    decibels = _sphere_db(n_elements, data_range) - 20 * value.log10()
    return decibels if isinstance(eps, Tensor) else float(decibels)


def _sphere_db(n_elements: int, data_range: float) -> float:
    """PSNR of the perturbations of norm 1."""
    peak = check_scale("data_range", data_range)
    return 20 * math.log10(peak) + 10 * math.log10(check_count("n_elements", n_elements))


def _as_tensor(name: str, value: object) -> Tensor:
    if isinstance(value, Tensor):
        check_tensor(name, value)
        if value.is_meta:
            raise ValueError(f"{name} must hold numbers, got {describe(value)}")
        return working(value)
    if isinstance(value, float) and not math.isfinite(value):
        return torch.tensor(value, device="cpu")  # for the caller to judge
    return torch.tensor(check_real(name, value), dtype=torch.float64, device="cpu")
