"""The regularizer: Eq. 7 as a loss that any training loop can add."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from stochrobust._arguments import check_callable_or_none, check_choice, check_count
from stochrobust._tensors import Tree
from stochrobust.attacks.ascent import Method, check_attack, check_ball, maximise, prepare
from stochrobust.attacks.balls import L2, Ball, check_radius
from stochrobust.attacks.by_gradient import TRAINING
from stochrobust.estimators.contract import NORM_STATISTICS, Estimator, NormStatistics
from stochrobust.estimators.left_as_found import autograd_possible, out_of_inference
from stochrobust.estimators.same_seed import SameSeed, check_delta
from stochrobust.estimators.seeds import Randomness, SampleZ

Reduction = Literal["mean", "sum", "relative"]
REDUCTIONS = ("mean", "sum", "relative")


def robustness_loss(
    G: Estimator,
    y: Tensor,
    eps: float | Tensor,
    n_seeds: int = 1,
    *,
    z: Tree = None,
    sample_z: SampleZ | None = None,
    cond: Tree = None,
    attack: Method = TRAINING,
    ball: Ball = L2(),  # noqa: B008 (a frozen value)
    delta: Tensor | None = None,
    reduction: Reduction = "mean",
    module: nn.Module | None = None,
    generator: Randomness = None,
    max_batch: int | None = None,
    norm_statistics: NormStatistics = "batch",
) -> Tensor:
    r"""Robustness loss of a (stochastic) estimator: add it, weighted, to the loss that trains G.

    ``E_Y max_{||delta|| <= eps} E_Z ||G(Y, Z) - G(Y + delta, Z)||_2^2`` (Eq. 7), at the delta that ``attack`` finds,
    which is detached: the gradient is that of a lower bound of the maximum.

    Args:
        G: the estimator, ``G(y, z)`` or ``G(y)``, see :mod:`stochrobust.estimators`; in the mode it is in. No pass
            records BatchNorm statistics, and no gradient reaches ``.grad`` before your ``backward`` (in which a layer
            that you checkpoint is computed again and records, as torch does for your own passes).
        y: (B, ...) degraded inputs, floating point. ``y + delta`` is rounded to y's dtype before G sees it, and
            under autocast by G's first layer: a delta below the spacing of that precision is lost in rounding.
        eps: radius, a number or (B,), absolute, in units of y over all its elements; see
            :func:`~stochrobust.eps_from_psnr`.
        n_seeds: seeds per input, S (the paper: 10; 1 for a deterministic G).
        z: seeds to use, rows (B * S, ...), sample-major.
        sample_z: ``sample_z(y, generator) -> z`` for the expanded batch, where G has no such method.
        cond: further inputs, batch first, passed on as ``G(y, z, cond)``.
        attack: the search for delta: two gradients by default, which on most networks find more than the paper's five
            Adam steps (:data:`~stochrobust.attacks.by_gradient.PAPER`), for 0.61 of the cost of the loss.
        ball: where delta may be, :class:`~stochrobust.L2` or :class:`~stochrobust.Linf`.
        delta: (B, ...) a perturbation found elsewhere, used instead of an ascent.
        reduction: ``"mean"`` over samples and output elements (what the paper's weight of 500 goes with), ``"sum"``
            over elements and mean over samples (the literal Eq. 7), or ``"relative"``, the sum over ``eps^2``
            (what the toy's weight needs).
        module: the module to leave as it was, where G is a closure over it.
        generator: source of seeds and starts; None for torch's global generator.
        max_batch: the most rows one call of G may get; bounds memory, recomputes the final passes in ``backward``,
            and equals the whole up to rounding where G neither couples samples (BatchNorm in train mode does) nor
            draws noise inside (dropout does: each chunk has its own). With FSDP2, all ranks must have equally many
            chunks: each is a call of G, which gathers parameters.
        norm_statistics: what BatchNorm and InstanceNorm layers in train mode use in these passes: ``"batch"``, the
            statistics of the batch each pass sees, or ``"running"``, their running statistics as constants, where they
            keep any (samples are then independent; weight and bias still learn). Neither records anything.

    Returns:
        A scalar, differentiable in G's parameters. NaN where G returns NaN.

    Raises:
        ValueError: for bad shapes, radii, masks or boxes.
        TypeError: for arguments of a wrong kind.

    Example:
        >>> import torch
        >>> G = torch.nn.Linear(3, 3)
        >>> loss = robustness_loss(G, torch.rand(8, 3), eps=0.1)
        >>> loss.backward()
        >>> G.weight.grad.shape, G.bias.grad.abs().max().item()
        (torch.Size([3, 3]), 0.0)

    Source: Eq. 7 and 8, App. E.2.3 of the paper; the scale of ``"mean"`` is inferred from its weights.
    """
    check_choice("reduction", reduction, REDUCTIONS)
    with autograd_possible():
        held = SameSeed(
            G, y, n_seeds, z=z, sample_z=sample_z, cond=cond, module=module, generator=generator, max_batch=max_batch,
            norm_statistics=norm_statistics,
        )  # fmt: skip
        radii, centre = prepare(held, eps, ball, attack)
        if reduction == "relative" and not bool((radii > 0).all() if isinstance(eps, Tensor) else eps > 0):
            raise ValueError(f"eps must be positive for reduction='relative', got {eps!r}")
        whole = len(held.chunks) == 1
        # One clean pass serves the ascent and the loss; in chunks its graph is not kept and made again.
        with torch.set_grad_enabled(torch.is_grad_enabled() and whole):
            clean = held.outputs()
        if delta is None:
            reference = clean.detach()
            found = maximise(
                lambda at, with_gradient: held.evaluate(at, reference, with_gradient=with_gradient),
                ball, attack, centre, radii, generator=generator, score=False,
            )  # fmt: skip
            delta = found.delta
        else:
            delta = out_of_inference(check_delta(delta, y)).detach()
        change = held.change(delta, clean if whole else None)
        return _reduced(change, reduction, clean[0].numel(), radii)


def _reduced(change: Tensor, reduction: Reduction, n_elements: int, eps: Tensor) -> Tensor:
    if reduction == "mean":
        return change.mean() / n_elements
    if reduction == "sum":
        return change.mean()
    return (change / eps.square()).mean()


class RobustnessLoss(nn.Module):
    """:func:`robustness_loss` with its settings kept; it holds no state and no parameters.

    Args:
        eps, n_seeds, sample_z, attack, ball, reduction, max_batch, norm_statistics: as in :func:`robustness_loss`.

    Raises:
        ValueError: if ``reduction`` or ``norm_statistics`` is none of those there are; all else is checked when called.

    Example:
        >>> import torch
        >>> loss = RobustnessLoss(eps=0.1, n_seeds=1)
        >>> G = torch.nn.Linear(3, 3)
        >>> loss(G, torch.rand(8, 3)).ndim
        0

    Source: Eq. 7 of the paper.
    """

    def __init__(
        self,
        eps: float | Tensor,
        n_seeds: int = 1,
        *,
        sample_z: SampleZ | None = None,
        attack: Method = TRAINING,
        ball: Ball = L2(),  # noqa: B008 (a frozen value)
        reduction: Reduction = "mean",
        max_batch: int | None = None,
        norm_statistics: NormStatistics = "batch",
    ) -> None:
        super().__init__()
        check_radius(eps)
        check_count("n_seeds", n_seeds)
        check_callable_or_none("sample_z", sample_z)
        check_attack(attack)
        check_ball(ball)
        if max_batch is not None:
            check_count("max_batch", max_batch)
        self.eps, self.n_seeds, self.sample_z = eps, n_seeds, sample_z
        self.attack, self.ball, self.max_batch = attack, ball, max_batch
        self.reduction: Reduction = reduction
        self.norm_statistics: NormStatistics = norm_statistics
        check_choice("reduction", reduction, REDUCTIONS)
        check_choice("norm_statistics", norm_statistics, NORM_STATISTICS)

    def forward(
        self,
        G: Estimator,
        y: Tensor,
        *,
        z: Tree = None,
        cond: Tree = None,
        delta: Tensor | None = None,
        module: nn.Module | None = None,
        generator: Randomness = None,
    ) -> Tensor:
        """The loss of G on y, (B, ...); a scalar."""
        return robustness_loss(
            G, y, self.eps, self.n_seeds, z=z, sample_z=self.sample_z, cond=cond, attack=self.attack, ball=self.ball,
            delta=delta, reduction=self.reduction, module=module, generator=generator, max_batch=self.max_batch,
            norm_statistics=self.norm_statistics,
        )  # fmt: skip
