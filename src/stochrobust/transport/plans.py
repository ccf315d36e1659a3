"""Optimal transport plans between sets of different sizes: on a line by sorting, elsewhere as a linear program."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from stochrobust.transport.bounds import anneal
from stochrobust.transport.points import direct_costs

_NEAREST = 4  # pairs of each row and of each column that join the program each time
_PROGRAMS = 100  # one or two are usual
_ANNEALING = 100  # rounds towards potentials to begin with; without them it takes five programs, and larger ones
_PIVOTS = 10**8  # of POT; far more than it needs, since it returns what it has by then
_PROVEN = 1e-10  # of the cost: what POT's potentials may leave open
_OPTIMAL = 1e-12  # of the cost: by how much less another plan might cost
_TOLERANCE = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}  # the least that HiGHS takes


def sorted_cost(a: Tensor, b: Tensor) -> Tensor:
    """(...,) float64 mean squared distance of the numbers (..., n) and (..., m), moved in their order."""
    a, b = a.sort(-1).values.double(), b.sort(-1).values.double()
    if a.shape[-1] == b.shape[-1]:
        return (a - b).square().mean(-1)
    rows, columns, mass = _in_order(a.shape[-1], b.shape[-1], a.device)
    return ((a[..., rows] - b[..., columns]).square() * mass).sum(-1)


def planned_cost(a: Tensor, b: Tensor) -> Tensor:
    """(B,) float64 cost of an optimal plan, found on the CPU, one sample after the other.

    POT finds it some twenty times as fast, if it is installed and its potentials prove the plan: where costs of very
    different sizes meet, as in tight clusters far apart, its plan was seen to cost 1.9 times the least, without a word.
    """
    totals = []
    for x, y, costs in zip(a.double(), b.double(), direct_costs(a.detach(), b.detach()), strict=True):
        plan = _proven_plan(costs.cpu())
        if plan is None:
            _, g, _ = anneal(costs[None], _ANNEALING)
            plan = transport_plan(costs.cpu(), g[0].cpu())
        rows, columns, mass = (part.to(a.device) for part in plan)
        totals.append(((x[rows] - y[columns]).square().sum(1) * mass).sum())
    return torch.stack(totals)


def _proven_plan(costs: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """POT's plan, as of :func:`transport_plan`; None without POT, or where its potentials leave a gap."""
    try:
        import ot
    except ImportError:
        return None
    n, m = costs.shape
    scale = costs.max().clamp(min=torch.finfo(costs.dtype).tiny)
    weights = (np.full(size, 1 / size) for size in (n, m))
    plan, log = ot.emd(*weights, (costs / scale).numpy(), numItermax=_PIVOTS, log=True)
    rows, columns = torch.from_numpy(plan).nonzero(as_tuple=True)
    mass = torch.from_numpy(plan)[rows, columns]
    left = costs - torch.from_numpy(log["v"]) * scale
    left -= left.amin(1, keepdim=True)
    gap, value = (left[rows, columns] * mass).sum(), (costs[rows, columns] * mass).sum()
    return (rows, columns, mass) if gap <= _PROVEN * value else None


def transport_plan(costs: Tensor, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """An optimal plan for costs (n, m), on the CPU: rows, columns and the mass that goes from one to the other.

    A linear program over few pairs gives a plan and potentials, and what the potentials leave of the costs tells which
    pairs to add, until the plan uses free pairs only. The leftovers are the costs of the next program: then its
    tolerance shrinks with what is still undecided. A plan that is a vertex moves multiples of ``1 / lcm(n, m)``, so
    no optimal one has a pair that leaves more than ``lcm(n, m)`` times the gap.
    """
    n, m = costs.shape
    unit = math.lcm(n, m)
    rows, columns, mass = _in_order(n, m, costs.device)
    kept = torch.zeros_like(costs, dtype=torch.bool)
    for _ in range(_PROGRAMS):
        left = costs - g
        left -= left.amin(1, keepdim=True)
        gap = (left[rows, columns] * mass).sum()
        value = (costs[rows, columns] * mass).sum()
        if gap <= _OPTIMAL * value + 4 * torch.finfo(costs.dtype).eps * costs.max():
            return rows, columns, mass
        for dim in (0, 1):
            few = min(_NEAREST, costs.shape[dim])
            kept.scatter_(dim, left.topk(few, dim, largest=False).indices, value=True)
        kept &= left <= unit * gap
        kept[rows, columns] = True
        rows, columns, mass, potentials = _solve(left, kept)
        g = g + potentials
    raise RuntimeError(f"no optimal plan after {_PROGRAMS} linear programs, the best may be {gap} above the optimum")


def _solve(costs: Tensor, kept: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """An optimal plan over the kept pairs, and potentials (m,) of the columns."""
    from scipy.optimize import linprog
    from scipy.sparse import csc_array

    n, m = costs.shape
    unit = math.lcm(n, m)
    rows, columns = kept.nonzero(as_tuple=True)
    pairs = torch.arange(len(rows))
    where = torch.cat([rows, n + columns]).numpy(), torch.cat([pairs, pairs]).numpy()
    scale = costs[kept].max()
    result = linprog(
        (costs[kept] / scale).numpy(),
        A_eq=csc_array((torch.ones(2 * len(rows)).numpy(), where), shape=(n + m, len(rows))),
        b_eq=torch.cat([torch.full((n,), unit // n), torch.full((m,), unit // m)]).numpy(),
        method="highs-ds",
        options=_TOLERANCE,
    )
    if result.status != 0:
        raise RuntimeError(f"scipy.optimize.linprog found no optimal plan: {result.message}")
    mass = torch.from_numpy(result.x).round()  # a vertex of the program is whole
    used = mass > 0
    potentials = torch.from_numpy(result.eqlin.marginals)[n:] * scale
    return rows[used], columns[used], mass[used] / unit, potentials


def _in_order(n: int, m: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """The plan (rows, columns, mass) that moves n points to m in their order: optimal if both are sorted numbers.

    Between neighbours among the levels ``k / n`` and ``l / m`` it stays with one row and one column.
    """
    levels = torch.cat([torch.arange(n, device=device) * m, torch.arange(m, device=device) * n]).sort().values
    mass = torch.diff(levels, append=levels.new_full((1,), n * m)).double() / (n * m)
    return levels // m, levels // n, mass
