"""Penalties on the Jacobian of an estimator with respect to y, at held seeds: Frobenius and spectral norm, squared."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from stochrobust._arguments import check_count
from stochrobust._tensors import Tree, flat, repeat, unit, working
from stochrobust.estimators.contract import Estimator
from stochrobust.estimators.gradients import NoGradientError
from stochrobust.estimators.left_as_found import autograd_possible, undisturbed
from stochrobust.estimators.same_seed import SameSeed
from stochrobust.estimators.seeds import Randomness, SampleZ, draw_like


def jacobian_penalty(
    G: Estimator,
    y: Tensor,
    n_seeds: int = 1,
    *,
    n_projections: int = 1,
    z: Tree = None,
    sample_z: SampleZ | None = None,
    cond: Tree = None,
    module: nn.Module | None = None,
    generator: Randomness = None,
) -> Tensor:
    r"""Jacobian penalty: add it, weighted, to the loss that trains G.

    ``E_{Y, Z} ||J||_F^2`` with ``J = dG(y, z) / dy``, estimated without bias as ``n E_v ||J^T v||_2^2`` for v uniform
    on the unit sphere of the n output elements. A random small perturbation of y of length r moves the output by
    ``r^2 / n_y`` times this on average, squared, where Eq. 7 is about the worst one: see :func:`spectral_penalty`.

    Args:
        G: the estimator, ``G(y, z)`` or ``G(y)``, see :mod:`stochrobust.estimators`; left as it was, as by
            ``robustness_loss``. It is differentiated twice, which compiled modules and some fused kernels cannot do,
            and a ``torch.autograd.Function`` of your own only if its backward is differentiable: one that keeps an
            intermediate value on ``ctx`` gives the right penalty and, silently, a wrong gradient (check yours by
            ``torch.autograd.gradgradcheck``).
        y: (B, ...) degraded inputs, floating point.
        n_seeds: seeds per input.
        n_projections: directions v per row (the paper: 1); each costs a backward pass and its derivative.
        z, sample_z, cond, module, generator: as in :func:`~stochrobust.robustness_loss`; the generator also draws v.

    Returns:
        A scalar, a sum over output elements and a mean over samples and seeds, differentiable in G's parameters.

    Raises:
        ValueError: for bad shapes or counts, or where G's output changes with y but carries no gradient to it.
        TypeError: for arguments of a wrong kind.

    Example:
        >>> import torch
        >>> round(jacobian_penalty(lambda y: 3 * y, torch.zeros(1, 2)).item(), 4)  # ||3 I||_F^2
        18.0

    Source: Hoffman, Roberts and Yaida, Robust Learning with Jacobian Regularization, arXiv:1908.02729; there of a
    classifier's logits.
    """
    check_count("n_projections", n_projections)
    with autograd_possible():
        shared = SameSeed(G, y, n_seeds, z=z, sample_z=sample_z, cond=cond, module=module, generator=generator)
        held = _row_by_row(shared)
        with _differentiating(held):
            delta, outputs = _graph(held)
            total = outputs.new_zeros((), dtype=delta.dtype)
            for i in range(n_projections):
                normal = draw_like(working(outputs.detach()).reshape(len(y), -1), generator, f"projection {i}")
                v = unit(normal.reshape(outputs.shape))
                total = total + _squared(_pull(outputs, delta, v, create_graph=True)).mean()
        return total * (outputs[0].numel() / n_projections)


def spectral_penalty(
    G: Estimator,
    y: Tensor,
    n_seeds: int = 1,
    *,
    steps: int = 2,
    z: Tree = None,
    sample_z: SampleZ | None = None,
    cond: Tree = None,
    module: nn.Module | None = None,
    generator: Randomness = None,
) -> Tensor:
    r"""Spectral penalty: add it, weighted, to the loss that trains G.

    ``E_Y lambda_max(E_Z[J^T J])`` with ``J = dG(y, z) / dy``: the largest squared singular value of the Jacobian, of
    all seeds' outputs together where there are several. That is the limit of ``Eq. 7 / eps^2`` for small eps
    (:func:`~stochrobust.robustness_loss` with ``reduction="relative"``), where Eq. 7 also sees what lies eps away. It
    is found by power iteration from a random direction and differentiated at the direction found: the value is a lower
    bound.

    Args:
        G, y: as in :func:`jacobian_penalty`.
        n_seeds: seeds per input, which share a direction as they do in Eq. 7.
        steps: of the power iteration, each a product with J and one with its transpose.
        z, sample_z, cond, module, generator: as in :func:`~stochrobust.robustness_loss`; the generator also draws the
            first direction.

    Returns:
        A scalar, a mean over samples, differentiable in G's parameters.

    Raises:
        ValueError: for bad shapes or counts, or where G's output changes with y but carries no gradient to it.
        TypeError: for arguments of a wrong kind.

    Example:
        >>> import torch
        >>> A = torch.diag(torch.tensor([3.0, 1.0]))
        >>> round(spectral_penalty(lambda y: y @ A, torch.zeros(1, 2), steps=20).item(), 4)
        9.0

    Source: Roth, Kilcher and Hofmann, Adversarial Training is a Form of Data-dependent Operator Norm Regularization,
    NeurIPS 2020; there of a classifier's logits, and not squared.
    """
    check_count("steps", steps)
    with autograd_possible():
        held = SameSeed(G, y, n_seeds, z=z, sample_z=sample_z, cond=cond, module=module, generator=generator)
        with _differentiating(held):
            delta, outputs = _graph(held)
            # J v is the derivative of J^T w by w, which is linear in w.
            w = torch.zeros_like(outputs, requires_grad=True)
            pulled = _pull(outputs, delta, w, create_graph=True)
            v = unit(draw_like(delta.detach(), generator, "direction"))
            for step in range(steps):
                pushed = _push(pulled, w, v)
                u = unit(working(pushed).reshape(len(y), -1)).reshape(outputs.shape)
                product = _pull(outputs, delta, u, create_graph=step == steps - 1)
                v = unit(product.detach())
        return _squared(product).mean() / n_seeds


@contextmanager
def _differentiating(held: SameSeed) -> Iterator[None]:
    """Derivatives of derivatives can be taken, and a layer that is computed again leaves the module as it was.

    Attention is by the one kernel that has second derivatives on all devices.
    """
    with torch.enable_grad(), undisturbed(held.module), sdpa_kernel(SDPBackend.MATH):
        yield


def _row_by_row(held: SameSeed) -> SameSeed:
    """The same passes, with each row a sample of its own: their derivatives are not summed over seeds."""
    rows = copy.copy(held)
    rows.y, rows.cond, rows.n_seeds = repeat(held.y, held.n_seeds), repeat(held.cond, held.n_seeds), 1
    return rows


def _graph(held: SameSeed) -> tuple[Tensor, Tensor]:
    """delta = 0, as a leaf, and the outputs as a function of it."""
    delta = torch.zeros_like(working(held.y)).detach().requires_grad_()
    outputs = held.outputs(delta)
    if not outputs.requires_grad:
        moved = held.outputs(torch.ones_like(delta))
        if not torch.equal(moved, outputs):
            raise NoGradientError
    return delta, outputs


def _pull(outputs: Tensor, delta: Tensor, cotangent: Tensor, *, create_graph: bool) -> Tensor:
    """``J^T cotangent``; zero where G does not look at y."""
    if not outputs.requires_grad:
        return torch.zeros_like(delta)
    (product,) = torch.autograd.grad(
        outputs, delta, cotangent, retain_graph=True, create_graph=create_graph, allow_unused=True
    )
    return torch.zeros_like(delta) if product is None else product


def _push(pulled: Tensor, w: Tensor, tangent: Tensor) -> Tensor:
    """``J tangent``, given ``pulled = J^T w``."""
    if not pulled.requires_grad:
        return torch.zeros_like(w)
    (product,) = torch.autograd.grad(pulled, w, tangent, retain_graph=True)
    return product


def _squared(rows: Tensor) -> Tensor:
    """The squared L2 norm of each row, (N, ...) -> (N,)."""
    return flat(rows).square().sum(1)
