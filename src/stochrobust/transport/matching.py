"""The optimal matching of two sets of equal size: proven where it can be, by assignment on the CPU where it cannot.

A matching is optimal if and only if there are potentials v with ``v_j <= v_i + w_ij`` for all i and j, where ``w_ij``
is what it costs i to take the partner of j instead of its own (linear-programming duality). Of sets that share
their seeds, the matching by index is often proven so at once.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stochrobust.transport.bounds import anneal
from stochrobust.transport.points import UNIT, direct_costs, product_costs

_PROVEN = 1e-12  # of the cost: by how much less another matching might cost, for one that counts as proven
_FAITHFUL = 1e-9  # of the cost: by how much costs with rounding errors may mislead the assignment
_ROUNDS = 4  # of 16 to 256 random points that moved by chance and kept their partners, hardly any needed more
_FEW = 32  # points
_ANNEALING = 200  # rounds; of random problems of 16 to 256 points all but some on a line were solved and proven then
_LARGE = 2**25  # points cubed, in all: an estimate of when its many small steps take less time than the assignment


def match(a: Tensor, b: Tensor, paired: Tensor) -> Tensor | None:
    """(B, n) partners of the points of a among those of b; None if all are matched by index.

    Args:
        a, b: (B, n, d) points without gradient.
        paired: (B, n) the costs of the matching by index.
    """
    if bool(_each_nearest(a, b, paired).all()):
        return None
    # To centre each set by itself changes what all matchings cost alike, and takes away what would only be rounded.
    costs, error = product_costs(*(points.double() - points.double().mean(1, keepdim=True) for points in (a, b)))
    rest = (~_is_optimal(costs, error, paired.mean(1))).nonzero().squeeze(1)
    if len(rest) == 0:
        return None
    index = torch.arange(a.shape[1], device=a.device).repeat(len(a), 1)
    costs, error = (costs, error) if len(rest) == len(a) else (costs[rest], error[rest])
    index[rest], faithful = _match_by_costs(costs, error)
    rest = rest[~faithful]
    if len(rest):
        index[rest] = _assign(direct_costs(a[rest], b[rest]))
    return index


def partners(b: Tensor, index: Tensor) -> Tensor:
    """(B, n, d) the points ``b[s, index[s, i]]``."""
    return b.gather(1, index[..., None].expand(-1, -1, b.shape[2]))


def match_by_annealing(costs: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
    """Partners (B, n) by costs that are off by the error, without the CPU, and (B,) whether they are proven."""
    _, g, _ = anneal(costs, _ANNEALING)
    index = (costs - g[:, None]).argmin(2)
    one_each = (index.sort(1).values == torch.arange(index.shape[1], device=index.device)).all(1)
    value = _value(costs, index) - error
    return index, one_each & _is_optimal(_by_index(costs, index), error, value, g.gather(1, index))


def _match_by_costs(costs: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
    """Partners (B, n) by costs that are off by the error, and (B,) whether that error does not matter."""
    if _worth_annealing(costs):
        index, proven = match_by_annealing(costs, error)
        rest = (~proven).nonzero().squeeze(1)
        index[rest] = _assign(costs[rest]) if len(rest) else index[rest]
    else:
        index, proven = _assign(costs), torch.zeros_like(error, dtype=torch.bool)
    value = _value(costs, index) - error
    faithful = proven | (2 * error <= _FAITHFUL * value)
    if not bool(faithful.all()):
        doubtful = ~faithful
        found = _by_index(costs[doubtful], index[doubtful])
        faithful[doubtful] = _is_optimal(found, error[doubtful], value[doubtful])
    return index, faithful


def _worth_annealing(costs: Tensor) -> bool:
    return costs.is_cuda and len(costs) * costs.shape[1] ** 3 >= _LARGE


def _by_index(costs: Tensor, index: Tensor) -> Tensor:
    """The costs with the columns in the order of the partners, which moves these to the diagonal."""
    return costs.gather(2, index[:, None].expand_as(costs))


def _value(costs: Tensor, index: Tensor) -> Tensor:
    """(B,) the mean cost of a matching."""
    return costs.gather(2, index[..., None]).mean((1, 2))


def _assign(costs: Tensor) -> Tensor:
    """One sample after the other, on the CPU."""
    from scipy.optimize import linear_sum_assignment

    columns = [torch.from_numpy(linear_sum_assignment(matrix)[1]) for matrix in costs.cpu().numpy()]
    return torch.stack(columns).to(costs.device, torch.int64)


def _each_nearest(a: Tensor, b: Tensor, paired: Tensor) -> Tensor:
    """(B,) True where, even in some of the coordinates alone, no other point of b is nearer to a_i than b_i is."""
    step = max(1, min(a.shape[2] // 16, 8))
    limit = paired * (1 + 2 * a.shape[2] * UNIT)
    a, b = a[..., ::step].double(), b[..., ::step].double()
    costs, error = product_costs(a - a[:, :1], b - a[:, :1])  # a centre that costs nothing
    costs.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    return (costs.amin(2) >= limit + error[:, None]).all(1) | ~paired.any(1)


def _is_optimal(costs: Tensor, error: Tensor, value: Tensor, start: Tensor | None = None) -> Tensor:
    """(B,) True where potentials prove the matching by index, of mean cost ``value``, after a few min-plus rounds.

    In each round a potential falls to the least of ``v_i + w_ij``; once none falls any more, they prove it.
    """
    own = costs.diagonal(dim1=1, dim2=2)
    v = torch.zeros_like(own) if start is None else start
    slack = _PROVEN * value - 2 * error - 4 * UNIT * v.abs().amax(1)
    # Two points that gain by an exchange disprove it; where the optimum is another, some of the first points do.
    few = min(_FEW, own.shape[1])
    exchanged = costs[:, :few] + costs[..., :few].mT - own[:, :few, None]
    exchanged.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    hopeful = (exchanged.amin(1) + 2 * slack[:, None] >= own).all(1)
    proven = torch.zeros_like(hopeful)
    if bool(hopeful.any()):
        w = (costs[hopeful] - own[hopeful, :, None]).add_(slack[hopeful, None, None])
        w.diagonal(dim1=1, dim2=2).zero_()
        proven[hopeful] = _settles(w, v[hopeful])
    return proven


def _settles(w: Tensor, v: Tensor) -> Tensor:
    """(B,) True where no potential falls any more."""
    for _ in range(_ROUNDS):
        lowered = (v[..., None] + w).amin(1)
        settled = (lowered >= v).all(1)
        if bool(settled.all()):
            break
        v = lowered
    return settled
