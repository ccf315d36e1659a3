"""What passes of G tell about its linear part: the points tried with their changes, and how far those reach."""

from __future__ import annotations

import torch
from torch import Tensor

KEPT = 64  # points in memory beside the best one and the first; 100 found no more on the problems it was tried on
COLUMNS_ARE_ONE = 1e-6  # an eigenvalue of the Gram matrix of unit columns below this share of the largest is rounding
ROUNDS = 40  # of the ascent on the model, which converges as power iteration does
TINY = 1e-300


class Secants:
    """Points and the changes of the output there; a linear model through them, and its best point in reach.

    The differences to the best point are columns ``(delta_i - delta, c_i - c)``, through which the linear model goes:
    its value is known for whatever lies in their span. Slot 0 is the best point, slot 1 the first, which stays.

    Args:
        delta: (B, n) the first point, such as zero.
        change: (B, M) the change there.
    """

    def __init__(self, delta: Tensor, change: Tensor) -> None:
        self.count = 2
        self.points = torch.stack([delta, delta], 1)
        self.changes = torch.stack([change, change], 1)
        self._grams = [torch.stack([_products(x, x[:, i]) for i in (0, 1)], 1) for x in (self.points, self.changes)]

    def add(self, delta: Tensor, change: Tensor, better: Tensor) -> None:
        """Keep a point (B, n) with its change (B, M), as the best one where ``better`` (B,) says so."""
        slot = 2 + (self.count - 2) % KEPT
        self.count += 1
        if slot == self.points.shape[1]:
            self.points, self.changes = (torch.cat([x, x[:, :1]], 1) for x in (self.points, self.changes))
            self._grams = [torch.nn.functional.pad(gram, (0, 1, 0, 1)) for gram in self._grams]
        for stored, new, gram in zip((self.points, self.changes), (delta, change), self._grams, strict=True):
            stored[:, slot] = new
            products = _products(stored, new)
            gram[:, slot], gram[:, :, slot] = products, products
            stored[:, 0] = torch.where(better[:, None], new, stored[:, 0])
            at_best = torch.where(better[:, None], products, gram[:, 0])
            at_best[:, 0] = torch.where(better, products[:, slot], gram[:, 0, 0])
            gram[:, 0], gram[:, :, 0] = at_best, at_best

    def ahead(self, trust: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
        """The point with the largest ``||c||^2`` of the linear model, and that value.

        Args:
            trust: (B,) how far from the best point it may lie, in L2; columns up to 1.5 times as long count.
            radius: (B,) its largest L2 norm.

        Returns:
            (B, n) the point, in the span of those kept; (B,) the model's value there.
        """
        points, changes = (_centred(gram) for gram in self._grams)
        length = points.diagonal(dim1=1, dim2=2).clamp_min(0).sqrt()
        near = (length > 0) & (length <= 1.5 * trust[:, None])
        basis = _orthonormal(points, torch.where(near, length.clamp_min(TINY).reciprocal(), 0.0))
        here, slope = (
            (basis.mT @ (gram[:, 0] - gram[:, :1, 0])[..., None])[..., 0] for gram in self._grams
        )  # fmt: skip
        outside = (self._grams[0][:, 0, 0] - here.square().sum(1)).clamp_min(0)
        reach = (radius.square() - outside).clamp_min(0).sqrt()
        move, gained = _largest(basis.mT @ changes @ basis, slope, here, trust, reach)
        weights = (basis @ move[..., None])[..., 0].to(self.points.dtype)
        best = self.points[:, 0]
        # The weights are of differences: their sum weighs the best point itself.
        target = best + (weights[:, None] @ self.points)[:, 0] - weights.sum(1, keepdim=True) * best
        return target, self._grams[1][:, 0, 0] + gained


def _products(stored: Tensor, new: Tensor) -> Tensor:
    """(B, K) the inner products of (B, K, n) with (B, n), in float64: differences of them will be taken."""
    products: Tensor = new.double()[:, None] @ stored.double().mT
    return products[:, 0]


def _centred(gram: Tensor) -> Tensor:
    """The Gram matrix of the differences to the first vector."""
    row = gram[:, :1]
    return gram - row - row.mT + row[..., :1]


def _orthonormal(gram: Tensor, scale: Tensor) -> Tensor:
    """(B, K, K) weights of vectors with this Gram matrix; columns are orthonormal combinations, or zero.

    A vector whose ``scale`` is zero has no part in them.
    """
    values, vectors = torch.linalg.eigh(gram * scale[:, :, None] * scale[:, None])
    kept = values > COLUMNS_ARE_ONE * values[:, -1:].clamp_min(TINY)
    basis: Tensor = scale[:, :, None] * vectors * torch.where(kept, values.clamp_min(TINY).rsqrt(), 0.0)[:, None]
    return basis


def _largest(square: Tensor, slope: Tensor, here: Tensor, trust: Tensor, reach: Tensor) -> tuple[Tensor, Tensor]:
    """The move q with the largest ``2 slope q + q square q``, where ``|q| <= trust`` and ``|here + q| <= reach``.

    A convex function grows when its linear part is maximised over a convex set, again and again.
    """

    def times(q: Tensor) -> Tensor:
        return (square @ q[..., None])[..., 0]

    top = torch.linalg.eigh(square).eigenvectors[..., -1]
    best, gained = torch.zeros_like(here), torch.zeros_like(trust)
    for start in (top, -top, slope):
        q = _farthest(start, here, trust, reach)
        for _ in range(ROUNDS):
            q = _farthest(slope + times(q), here, trust, reach)
        gain = ((2 * slope + times(q)) * q).sum(1)
        better = gain > gained
        best, gained = torch.where(better[:, None], q, best), torch.where(better, gain, gained)
    return best, gained


def _farthest(along: Tensor, here: Tensor, trust: Tensor, reach: Tensor) -> Tensor:
    """The move farthest along a direction in two balls: ``|q| <= trust`` and ``|here + q| <= reach``.

    It is on the sphere of one ball, where that lies in the other, or where both spheres meet.
    """
    along, away = (torch.nn.functional.normalize(v, dim=1, eps=TINY) for v in (along, here))
    near, far = trust[:, None] * along, reach[:, None] * along - here
    distance = here.norm(dim=1)
    axis = (reach.square() + distance.square() - trust.square()) / (2 * distance.clamp_min(TINY))
    across = torch.nn.functional.normalize(along - away * (along * away).sum(1, keepdim=True), dim=1, eps=TINY)
    both = axis[:, None] * away + (reach.square() - axis.square()).clamp_min(0).sqrt()[:, None] * across - here
    near_fits = (here + near).norm(dim=1) <= reach * (1 + 1e-9)
    far_fits = far.norm(dim=1) <= trust * (1 + 1e-9)
    return torch.where(near_fits[:, None], near, torch.where(far_fits[:, None], far, both))
