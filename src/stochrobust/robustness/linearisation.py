"""The sensitivity of an estimator's linearisation: the largest eigenvalue of E[J^T J], from products with Jacobians."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from stochrobust._arguments import check_count, check_finite
from stochrobust._tensors import Tree, flat, flat_norm, per_sample, unit
from stochrobust.attacks.ascent import finite_outputs, prepare
from stochrobust.attacks.balls import L2
from stochrobust.attacks.by_gradient import EVALUATION
from stochrobust.estimators.contract import Estimator
from stochrobust.estimators.gradients import NoGradientError
from stochrobust.estimators.hidden_noise import no_draws_from
from stochrobust.estimators.left_as_found import autograd_possible, undisturbed, unsynchronised
from stochrobust.estimators.same_seed import SameSeed
from stochrobust.estimators.seeds import Randomness, SampleZ, draw_like


@dataclass(frozen=True)
class LinearisedSensitivity:
    """What Lanczos found of ``H = E_Z[J^T J]`` at y, per sample.

    Attributes:
        value: (B,) ``eps^2 theta``, with ``theta <= lambda_max(H)`` the largest Ritz value.
        residual: (B,) ``eps^2 ||H v - theta v||``: an eigenvalue of ``eps^2 H`` lies within it of ``value``.
        delta: (B, ...) ``eps v``, the direction it belongs to; its sign is arbitrary.

    Example:
        >>> import torch
        >>> found = linearised_sensitivity(lambda y: 3 * y, torch.zeros(1, 2), eps=0.1)
        >>> round(found.value.item(), 4), round(found.delta.norm().item(), 4)
        (0.09, 0.1)
    """

    value: Tensor
    residual: Tensor
    delta: Tensor


def linearised_sensitivity(
    G: Estimator,
    y: Tensor,
    eps: float | Tensor,
    n_seeds: int = 1,
    *,
    steps: int = 20,
    z: Tree = None,
    sample_z: SampleZ | None = None,
    cond: Tree = None,
    module: nn.Module | None = None,
    generator: Randomness = None,
    max_batch: int | None = None,
) -> LinearisedSensitivity:
    r"""Sensitivity that the estimator would have if it were linear around y.

    ``max_{||delta|| <= eps} E_Z ||J(y, Z) delta||^2 = eps^2 lambda_max(E_Z[J^T J])``, with J the Jacobian in y: what
    Eq. 6 tends to, over ``eps^2``, as eps falls. For a linear G it *is* Eq. 6's maximum. For others it is a local
    statement: the true value at this eps may be larger or smaller, and ``value`` bounds it neither way.

    Args:
        G, y, eps, n_seeds, z, sample_z, cond, module, generator, max_batch: as in
            :func:`~stochrobust.sensitivity`; G must be differentiable twice (piecewise linear will do), which compiled
            modules are not.
        steps: of the Lanczos iteration; each costs a forward and three backward passes to the input.

    Returns:
        The measurement; no gradients.

    Raises:
        ValueError, TypeError: as :func:`~stochrobust.sensitivity`.

    Example:
        >>> import torch
        >>> A = torch.diag(torch.tensor([3.0, 1.0]))
        >>> found = linearised_sensitivity(lambda y: y @ A, torch.zeros(1, 2), eps=0.1)
        >>> round(found.value.item(), 4)
        0.09

    Source: Eq. 6 of the paper; B. Parlett, The Symmetric Eigenvalue Problem, chapter 13, with full
    reorthogonalisation.
    """
    check_count("steps", steps)
    options: dict[str, Any] = {
        "sample_z": sample_z, "cond": cond, "module": module, "generator": generator, "max_batch": max_batch
    }  # fmt: skip
    with torch.no_grad(), autograd_possible():
        held = SameSeed(G, y, n_seeds, z=z, **options)
        radii, centre = prepare(held, eps, L2(), EVALUATION)
        finite_outputs(held, None, "at y")
        value, residual, vector = _lanczos(held, centre, min(steps, centre[0].numel()), generator)
        square = radii.square()
        return LinearisedSensitivity(square * value, square * residual, per_sample(radii, centre) * vector)


def _lanczos(held: SameSeed, y: Tensor, steps: int, generator: Randomness) -> tuple[Tensor, Tensor, Tensor]:
    """The largest Ritz value of H from a random start, its residual norm, and its vector of norm 1."""
    vectors = [unit(draw_like(y, generator, "Lanczos start"))]
    products = []
    for step in range(steps):
        products.append(_product(held, vectors[-1]))
        if step + 1 < steps:
            vectors.append(_orthogonal(products[-1], vectors))
    basis, images = (torch.stack([flat(v).double() for v in tensors], 1) for tensors in (vectors, products))
    projected = basis @ images.mT
    theta, weights = torch.linalg.eigh((projected + projected.mT) / 2)
    weights = weights[:, None, :, -1]
    vector, image = (weights @ basis)[:, 0], (weights @ images)[:, 0]
    residual = flat_norm(image - theta[:, -1:] * vector)
    return theta[:, -1].to(y.dtype), residual.to(y.dtype), vector.to(y.dtype).reshape(y.shape)


def _orthogonal(vector: Tensor, basis: list[Tensor]) -> Tensor:
    """The direction of what is orthogonal to each sample's basis, which is orthonormal.

    Three times: where hardly anything is left, it is rounding, and can be made orthogonal only at norm 1.
    """
    for _ in range(3):
        for direction in basis:
            vector = vector - direction * per_sample(flat(vector * direction).sum(1), vector)
        vector = unit(vector)
    return vector


def _product(held: SameSeed, vector: Tensor) -> Tensor:
    """``E_Z[J^T J] v`` per sample; J v is the derivative, with respect to u, of v's product with ``J^T u``."""
    total = torch.zeros_like(vector)
    for chunk in held.chunks:
        with _twice_differentiable(held):
            at = torch.zeros_like(vector, requires_grad=True)
            outputs = held.rows(at, chunk)
            dual = torch.zeros_like(outputs, requires_grad=True)
            pulled = None
            if outputs.requires_grad:
                (pulled,) = torch.autograd.grad(outputs, at, dual, create_graph=True, allow_unused=True)
            if pulled is None:
                if not torch.equal(outputs, held.rows(vector, chunk)):
                    raise NoGradientError
                continue
            if not pulled.requires_grad:  # zero
                continue
            (pushed,) = torch.autograd.grad(pulled, dual, vector, retain_graph=True)
            (product,) = torch.autograd.grad(outputs, at, pushed)
            total += product
    check_finite("G's Jacobian at y", total)
    return total / held.n_seeds


@contextmanager
def _twice_differentiable(held: SameSeed) -> Iterator[None]:
    """Gradients on, the model left as it is, and attention by a kernel that has second derivatives."""
    with (
        torch.enable_grad(), unsynchronised(held.module), undisturbed(held.module), no_draws_from(held.generators),
        sdpa_kernel(SDPBackend.MATH),
    ):  # fmt: skip
        yield
