"""The Frechet distance of two sets of vectors: that of Gaussians with their means and covariances."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stochrobust.metrics.features import FeatureSet
from stochrobust.metrics.moments import FrechetStatistics, statistics_of
from stochrobust.metrics.protocol import Protocol, Score

_ERROR = 2.0**-30  # of the trace term, relative to the sum of the traces; beyond it the costlier way is taken
_SAFETY = 8  # times a deviation that is one draw of a random number
_NOISE = 64  # units of rounding: below so many, a direction is taken to be empty
_STRIP = 256  # rows of a product with a triangular matrix that are computed at once


def frechet_distance(*, real: FeatureSet | FrechetStatistics, generated: FeatureSet | FrechetStatistics) -> Score:
    """The Frechet distance of two sets of vectors, FID if they are features of its network.

    ``||m_r - m_g||^2 + tr(S_r + S_g - 2 (S_r^{1/2} S_g S_r^{1/2})^{1/2})`` with means m and covariances S (n - 1)

    It is the squared Wasserstein distance of two Gaussians with these moments, which are taken in float64 and in one
    pass. With any roots ``A^T A = S_r`` and ``B^T B = S_g`` the trace of the last term is the sum of the singular
    values of ``A B^T``; the vectors themselves, centred, are a root where they are no more than their features. That
    sum is first taken from eigenvalues of ``A S_g A^T``, whose roots lose digits near zero, and if their estimated
    error is above 1e-9 of ``tr(S_r + S_g)`` then from the singular values, which lose none. The distance is never
    negative, finite for singular covariances, and right to about 1e-9 of ``||m_r - m_g||^2 + tr(S_r + S_g)``; sets that
    nearly agree have a distance far below that, and as many fewer digits. One thing a covariance in float64 cannot
    hold: variances below some 1e-13 of the largest, in directions across the features, pass for zero. Where the other
    set varies much in those directions this costs 1e-8 of the traces, and may cost more.

    No gradient. Works on the device of the inputs, which must support float64.

    Args:
        real: ``(N, d)`` features, or raw vectors, of real samples; float16, bfloat16, float32 or float64, any range:
            a tensor, an array (``numpy.memmap``: stays on disk), :class:`~stochrobust.metrics.features.Features`, or an
            iterable of batches of them; or their :class:`FrechetStatistics`, from a file for instance.
        generated: ``(M, d)`` the same of generated samples; M may differ from N.

    Returns:
        A :class:`~stochrobust.metrics.protocol.Score`, in squared units of the features. It depends on N and M, which
        its protocol tells: fewer samples make it larger.

    Raises:
        TypeError: if a set is not of real floating-point numbers.
        ValueError: if the sets differ in d, device or protocol, are not finite, have fewer than two samples or squares
            beyond the range of float64.

    Example:
        >>> import torch
        >>> real = torch.tensor([[-1.0], [1.0]])
        >>> frechet_distance(real=real, generated=3 * real + 5)  # means 0 and 5, variances 2 and 18
        33.0

    Source:
        D. Dowson and B. Landau, The Frechet distance between multivariate normal distributions, 1982; M. Heusel et al.,
        GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium, NeurIPS 2017 (FID).
    """
    reals, others = _statistics("real", real), _statistics("generated", generated)
    _check_pair(reals, others)
    means = float((reals.mean - others.mean).square().sum())
    first, second = sorted((_Spread.of(reals), _Spread.of(others)), key=lambda spread: spread.n)
    if not math.isfinite(means + first.trace + second.trace):
        raise ValueError("real and generated must have squares within the range of float64, got larger ones")
    deviations = math.sqrt(first.trace), math.sqrt(second.trace)
    overlap = min(_overlap(first, second), 1.0)
    value = means + (deviations[0] - deviations[1]) ** 2 + 2 * deviations[0] * deviations[1] * (1 - overlap)
    return Score(value, _conditions(reals, others))


def _statistics(name: str, values: FeatureSet | FrechetStatistics) -> FrechetStatistics:
    statistics = values if isinstance(values, FrechetStatistics) else statistics_of(name, values)
    if statistics.n < 2:
        raise ValueError(f"{name} must have at least 2 samples, got {statistics.n}")
    return statistics


def _check_pair(reals: FrechetStatistics, others: FrechetStatistics) -> None:
    if others.device != reals.device:
        raise ValueError(f"generated must be on the device of real, {reals.device}, got {others.device}")
    width, other_width = len(reals.mean), len(others.mean)
    if other_width != width:
        raise ValueError(f"generated must have the {width} features of real, got {other_width}")
    if others.protocol != reals.protocol:
        difference = reals.protocol.differences(others.protocol)
        raise ValueError(f"generated must have the protocol of real, got another: {difference}")


def _conditions(reals: FrechetStatistics, others: FrechetStatistics) -> Protocol:
    from stochrobust import __version__

    protocol = replace(reals.protocol, n_real=reals.n, n_generated=others.n)
    return replace(protocol, metric="Frechet distance", version=__version__)


@dataclass(frozen=True, eq=False)
class _Spread:
    """How a set spreads about its mean: its covariance ``(d, d)`` or a root ``(n - 1, d)`` of it, for a trace of 1."""

    n: int
    trace: float
    variances: Tensor
    matrix: Tensor
    is_root: bool

    @classmethod
    def of(cls, statistics: FrechetStatistics) -> _Spread:
        root = statistics.covariance_root
        matrix = statistics.covariance if root is None else root
        variances = matrix.diagonal() if root is None else root.square().sum(0)
        trace = float(variances.sum())
        unit = 1.0 if root is None else 0.5
        return cls(statistics.n, trace, variances, matrix.div_(trace**unit), root is not None)

    def within(self, columns: Tensor) -> _Spread:
        """In these features only."""
        matrix = self.matrix[:, columns] if self.is_root else self.matrix[columns][:, columns]
        return replace(self, matrix=matrix)

    def root(self) -> tuple[Tensor, bool]:
        """``(r, d)`` with ``root^T root`` the covariance, and whether it is upper triangular."""
        return (self.matrix, False) if self.is_root else _covariance_root(self.matrix)


def _overlap(first: _Spread, second: _Spread) -> float:
    """The sum of the singular values of ``A B^T`` for roots of the two covariances; first the way that is cheap."""
    alive = ((first.variances > 0) & (second.variances > 0)).nonzero()[:, 0]
    if len(alive) == 0:
        return 0.0
    if len(alive) < len(first.variances):  # such a feature adds nothing, and no covariance has full rank with it
        first, second = first.within(alive), second.within(alive)
    root, triangular = first.root()
    if second.is_root:
        product = root @ second.matrix.T
        gram = product @ product.T
    else:
        gram = _sandwich(root, second.matrix, triangular=triangular)
    values = torch.linalg.eigvalsh(gram).clamp_(min=0).sqrt_()
    if _estimated_error(values) > _ERROR:
        other, other_triangular = second.root()
        both = triangular and other_triangular
        if not both or _estimated_error(values, _log_determinant(root) + _log_determinant(other)) > _ERROR:
            values = torch.linalg.svdvals(root @ other.T)
    return float(values.sum())


def _estimated_error(roots: Tensor, log_determinant: float | None = None) -> float:
    """Of the sum of these roots of the eigenvalues of a symmetric matrix, in ascending order.

    LAPACK finds each eigenvalue to about ``u = eps * largest``, and so a root r to ``u / r``, or to ``sqrt(u)`` below
    that. Errors of the small ones are often less, and the logarithm of the product of all roots, if it is known
    otherwise, shows it: by as much as it is missed, a few times over, a root may be off relative to itself. Such errors
    have either sign and add up like squares. The second term is for the curvature of the root, which has one sign.
    """
    unit = torch.finfo(roots.dtype).eps * float(roots[-1]) ** 2
    if unit == 0:
        return math.inf
    errors = unit / roots.clamp(min=math.sqrt(unit))
    if log_determinant is not None and float(roots[0]) > 0:
        missed = abs(float(roots.log().sum()) - log_determinant)
        errors = torch.minimum(errors, _SAFETY * missed * roots)
    return float(torch.linalg.vector_norm(errors) + (errors.square() / roots.clamp(min=math.sqrt(unit))).sum())


def _log_determinant(root: Tensor) -> float:
    return float(root.diagonal().log().sum())


def _covariance_root(covariance: Tensor) -> tuple[Tensor, bool]:
    """A root with one row for each dimension that the covariance fills, and whether it is upper triangular."""
    variances = covariance.diagonal()
    lower, failed = torch.linalg.cholesky_ex(covariance)
    # What is left of a feature given those before it; none of it, up to rounding, where the covariance is singular.
    left = lower.diagonal().square() / variances
    width, eps = len(covariance), torch.finfo(covariance.dtype).eps
    if not int(failed) and float(left.min()) > _NOISE * width * eps:
        return lower.T, True
    scale = variances.sqrt()  # every feature weighs alike in what is rounding and what is not
    values, vectors = torch.linalg.eigh(covariance / scale / scale[:, None])
    filled = values > _NOISE * eps * values[-1]
    return (vectors[:, filled] * values[filled].sqrt()).T * scale, False


def _sandwich(root: Tensor, covariance: Tensor, *, triangular: bool) -> Tensor:
    """``root covariance root^T`` on and below the diagonal, leaving out the zeros of an upper triangular root."""
    half, gram = torch.empty_like(root), root.new_zeros(len(root), len(root))
    strips = [(slice(start, start + _STRIP), start if triangular else 0) for start in range(0, len(root), _STRIP)]
    for rows, inner in strips:
        torch.mm(root[rows, inner:], covariance[inner:], out=half[rows])
    for rows, inner in strips:
        gram[rows, : rows.stop] = root[rows, inner:] @ half[: rows.stop, inner:].T
    return gram
