"""The regularizer: Eq. 7 as a loss that any training loop can add."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from stochrobust._arguments import check_callable_or_none, check_choice, check_count
from stochrobust._tensors import Tree
from stochrobust.attacks.ascent import Method, check_attack, check_ball
from stochrobust.attacks.balls import L2, Ball, check_radius, shown_radius
from stochrobust.attacks.by_gradient import TRAINING
from stochrobust.estimators.contract import NORM_STATISTICS, Estimator, NormStatistics
from stochrobust.estimators.first_call import check_first_call
from stochrobust.estimators.left_as_found import autograd_possible
from stochrobust.estimators.same_seed import SameSeed
from stochrobust.estimators.seeds import Randomness, SampleZ
from stochrobust.losses.eq7 import Evaluated, evaluated, squared_amplification
from stochrobust.losses.record import LossRecord, record_of

Reduction = Literal["mean", "squared_amplification", "sum", "relative"]
REDUCTIONS = ("mean", "squared_amplification", "sum", "relative")


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
    check: bool = True,
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
        reduction: ``"squared_amplification"``, the mean over samples of ``(||change||^2 / n_x) / (eps^2 / n_y)``: 1
            where outputs move as far per element as the input, so that a weight means the same at every radius and
            size, and where known pixels or a projector put a floor (outputs that contain y move with it: 1);
            ``"mean"`` over samples and output elements (what the paper's weight of 500 goes with), which is that times
            ``eps^2 / n_y``; ``"sum"`` over elements and mean over samples (the literal Eq. 7); or ``"relative"``, the
            sum over ``eps^2`` (what the toy's weight needs).
        module: the module to leave as it was, where G is a closure over it.
        generator: source of seeds and starts; None for torch's global generator.
        max_batch: the most rows one call of G may get; bounds memory, recomputes the final passes in ``backward``,
            and equals the whole up to rounding where G neither couples samples (BatchNorm in train mode does) nor
            draws noise inside (dropout does: each chunk has its own). With FSDP2, all ranks must have equally many
            chunks: each is a call of G, which gathers parameters.
        norm_statistics: what BatchNorm and InstanceNorm layers in train mode use in these passes: ``"batch"``, the
            statistics of the batch each pass sees, or ``"running"``, their running statistics as constants, where they
            keep any (samples are then independent; weight and bias still learn). Neither records anything.
        check: look, at the first call of a module, whether a second pass at held seeds gives the same outputs: one
            pass more, and one value that is read from the device.

    Returns:
        A scalar, differentiable in G's parameters. NaN where G returns NaN.

    Raises:
        ValueError: for bad shapes, radii, masks or boxes.
        TypeError: for arguments of a wrong kind.

    Warns:
        AttackWarning: at the first call, if G draws noise that is not replayed.

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
        found = evaluated(held, eps, attack, ball, delta, generator)
        if check:
            check_first_call(held, found.clean)
        return reduced(found, reduction, ball, eps, y[0].numel())


def reduced(found: Evaluated, reduction: Reduction, ball: Ball, eps: float | Tensor, n_inputs: int) -> Tensor:
    """The scalar that a reduction makes of an evaluation."""
    n_outputs = found.clean[0].numel()
    if reduction == "mean":
        return found.change.mean() / n_outputs
    if reduction == "sum":
        return found.change.mean()
    if not bool((found.radii > 0).all() if isinstance(eps, Tensor) else eps > 0):
        raise ValueError(f"eps must be positive for reduction={reduction!r}, got {eps!r}")
    if reduction == "squared_amplification":
        return squared_amplification(found.change, found.radii, ball, n_outputs, n_inputs).mean()
    return (found.change / found.radii.square()).mean()


class RobustnessLoss(nn.Module):
    """:func:`robustness_loss` with its settings kept; it holds no parameters and nothing that is saved.

    Args:
        eps, n_seeds, sample_z, attack, ball, reduction, max_batch, norm_statistics, check: as in
            :func:`robustness_loss`.

    Attributes:
        last: a :class:`LossRecord` of the last call; None before the first.

    Raises:
        ValueError: if ``reduction`` or ``norm_statistics`` is none of those there are; all else is checked when called.

    Example:
        >>> import torch
        >>> loss = RobustnessLoss(eps=0.1, n_seeds=1)
        >>> G = torch.nn.Linear(3, 3)
        >>> loss(G, torch.rand(8, 3)).ndim
        0
        >>> sorted(loss.log())[0]
        'robustness/amplification'

    Source: Eq. 7 of the paper.
    """

    last: LossRecord | None = None

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
        check: bool = True,
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
        self.attack, self.ball, self.max_batch, self.check = attack, ball, max_batch, check
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
        with autograd_possible():
            held = SameSeed(
                G, y, self.n_seeds, z=z, sample_z=self.sample_z, cond=cond, module=module, generator=generator,
                max_batch=self.max_batch, norm_statistics=self.norm_statistics,
            )  # fmt: skip
            found = evaluated(held, self.eps, self.attack, self.ball, delta, generator)
            if self.check:
                check_first_call(held, found.clean)
            self.last = record_of(found, self.ball, y[0].numel())
            return reduced(found, self.reduction, self.ball, self.eps, y[0].numel())

    def extra_repr(self) -> str:
        """The radius, the seeds and the reduction."""
        return f"eps={shown_radius(self.eps)}, n_seeds={self.n_seeds}, reduction={self.reduction!r}"

    def log(self, prefix: str = "robustness/") -> dict[str, Tensor]:
        """The record of the last call as names to 0-d tensors, which loggers take as they are.

        Args:
            prefix: of every name.

        Returns:
            Empty before the first call.
        """
        return {} if self.last is None else self.last.log(prefix)
