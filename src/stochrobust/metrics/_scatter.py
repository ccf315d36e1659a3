"""Sums of centred products in float64: added to block by block, joined with those of other shards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from stochrobust._arguments import check_alike, check_finite, check_tensor, describe

BLOCK = 1024  # rows summed up at once: long enough for fast products, short enough for caches
_TOLERANCE = 2.0**-16  # of the largest eigenvalue: what rounding in float32 may have left of one that is zero
_STRIP = 256  # columns of a product computed at once, from the diagonal on: symmetry saves nearly half


@dataclass(eq=False)
class Scatter:
    """``products = sum_i (x_i - mean)(x_i - mean)^T`` over ``count`` rows.

    Only the blocks of ``products`` on and above the diagonal are meant; what is below is of no use.
    """

    count: int
    mean: Tensor
    products: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> Scatter:
        """Of float64 rows."""
        width = rows.shape[1]
        return cls(0, rows.new_zeros(width), rows.new_zeros(width, width)).add(rows)

    def add(self, rows: Tensor) -> Scatter:
        """Take in float64 rows, in place; itself."""
        for block in rows.split(BLOCK):
            self._add_block(block)
        return self

    def joined(self, other: Scatter) -> Scatter:
        """The sums over the rows of both; a new one."""
        shift, count = other.mean - self.mean, self.count + other.count
        products = (self.products + other.products).addr_(shift, shift, alpha=self.count * other.count / count)
        return Scatter(count, self.mean + shift * (other.count / count), products)

    def copy(self) -> Scatter:
        """With memory of its own."""
        return Scatter(self.count, self.mean.clone(), self.products.clone())

    def covariance(self) -> Tensor:
        """``(d, d)`` with divisor ``count - 1``, exactly symmetric."""
        matrix = self.products / (self.count - 1)
        for strip in _strips(len(matrix)):
            corner = matrix[strip, strip].triu()
            matrix[strip, strip] = corner + corner.triu(1).T
            matrix[strip.stop :, strip] = matrix[strip, strip.stop :].T
        return matrix

    def _add_block(self, block: Tensor) -> None:
        """The block's own scatter, and as one more row what the distance of the two means adds."""
        rows = block.new_empty(len(block) + 1, block.shape[1])
        _, mean = centred_rows(block, out=rows[:-1])
        shift, count = mean - self.mean, self.count + len(block)
        torch.mul(shift, (self.count * len(block) / count) ** 0.5, out=rows[-1])
        self.mean += shift * (len(block) / count)
        self.count = count
        for strip in _strips(rows.shape[1]):
            self.products[strip, strip.start :].addmm_(rows[:, strip].T, rows[:, strip.start :])


def centred_rows(rows: Tensor, *, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The rows less their mean, and that mean.

    By way of the first row: a feature that never changes becomes exactly zero, and its mean is exactly its value.
    """
    centred = torch.sub(rows, rows[0], out=out)
    offset = centred.mean(0)
    return centred.sub_(offset), rows[0] + offset


def _strips(width: int) -> Iterator[slice]:
    return (slice(start, start + _STRIP) for start in range(0, width, _STRIP))


def check_moments(mean: Tensor, covariance: Tensor) -> None:
    """A mean and a covariance that some set could have, up to the rounding of float32."""
    check_tensor("mean", mean, ndim=1)
    check_tensor("covariance", covariance, ndim=2)
    check_alike("covariance", covariance, "mean", mean, shape=False)
    if covariance.shape != (len(mean), len(mean)):
        raise ValueError(f"covariance must be of shape (d, d) for d = {len(mean)}, got {describe(covariance)}")
    check_finite("mean", mean)
    check_finite("covariance", covariance)
    skew = float((covariance - covariance.T).abs().max())
    values = torch.linalg.eigvalsh(covariance.double())
    lowest, highest = float(values[0]), float(values[-1])
    if max(skew, -lowest) > _TOLERANCE * max(highest, 0.0):
        got = f"a difference of {skew:.3g} from its transpose, and eigenvalues from {lowest:.3g} to {highest:.3g}"
        raise ValueError(f"covariance must be symmetric and positive semi-definite, got {got}")


def check_packed(packed: Tensor) -> None:
    """``(d + 2, d)``: a count in every place of the first row, a mean, and products that some rows could have."""
    if packed.ndim != 2 or len(packed) != packed.shape[1] + 2:
        raise ValueError(f"packed statistics must be (d + 2, d), got {describe(packed)}")
    count = float(packed[0, 0])
    if not (count >= 1 and count % 1 == 0 and bool((packed[0] == count).all())):
        raise ValueError(f"packed statistics must begin with a count of at least 1, got {count:g}")
    products = packed[2:].triu()
    squares = products.diagonal()
    most = (squares.clamp(min=0)[:, None] * squares.clamp(min=0)).sqrt()
    if bool((squares < 0).any()) or bool((products.abs() > most * (1 + _TOLERANCE)).any()):
        raise ValueError("packed statistics must hold sums of products, got larger ones than the squares allow")
