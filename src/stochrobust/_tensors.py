"""Tensors as rows of samples, their norms, trees of them, and the precision that differences are taken in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeAlias

import torch
from torch import Tensor

Tree: TypeAlias = Any
"""A tensor, or a tuple, list or mapping of trees (mappings arrive as dicts); other leaves pass through unchanged."""


def tree_map(function: Callable[[Tensor], Tensor], tree: Tree) -> Tree:
    """The tree with ``function`` applied to each of its tensors."""
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, Mapping):
        return {key: tree_map(function, value) for key, value in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(tree_map(function, value) for value in tree))
    if isinstance(tree, tuple | list):
        return type(tree)(tree_map(function, value) for value in tree)
    return tree


def tree_tensors(tree: Tree) -> list[Tensor]:
    """The tensors of the tree, in order."""
    found: list[Tensor] = []
    tree_map(lambda leaf: found.append(leaf) or leaf, tree)  # type: ignore[func-returns-value]
    return found


def brief(result: Any) -> str:
    """A dataclass of results in one line: its numbers, and of its tensors the shapes."""
    shown = (
        f"{field.name}={tuple(value.shape)}" if isinstance(value, Tensor) else f"{field.name}={value!r}"
        for field in fields(result)
        for value in [getattr(result, field.name)]
    )  # fmt: skip
    return f"{type(result).__name__}({', '.join(shown)})"


def tree_stack(trees: Sequence[Tree]) -> Tree:
    """Trees of one structure joined along their rows."""
    columns = zip(*(tree_tensors(tree) for tree in trees), strict=True)
    joined = iter([torch.cat(column) for column in columns])
    return tree_map(lambda leaf: next(joined), trees[0])


def tree_rows(tree: Tree, rows: slice) -> Tree:
    """The given rows of each tensor."""
    return tree_map(lambda leaf: leaf[rows], tree)


def repeat(tree: Tree, n_seeds: int) -> Tree:
    """Each row ``n_seeds`` times in a row: (B, ...) -> (B * n_seeds, ...), sample-major."""
    if n_seeds == 1:
        return tree
    return tree_map(lambda leaf: leaf.repeat_interleave(n_seeds, dim=0), tree)


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """(B,) values shaped to broadcast over (B, ...)."""
    return values.reshape(-1, *(1,) * (like.ndim - 1))


def flat(tensor: Tensor) -> Tensor:
    """(B, ...) -> (B, elements), also for (B,)."""
    return tensor.reshape(len(tensor), -1)


def flat_norm(tensor: Tensor) -> Tensor:
    """The L2 norm of each sample over all its elements, (B,)."""
    norm: Tensor = torch.linalg.vector_norm(flat(tensor), dim=1)
    return norm


def unit(tensor: Tensor) -> Tensor:
    """Each sample divided by its L2 norm; a sample of zeros stays zero."""
    # Dividing by the largest entry first keeps the norm of tiny gradients from underflowing.
    largest = per_sample(flat(tensor).abs().amax(dim=1), tensor)
    scaled = torch.where(largest == 0, torch.zeros_like(tensor), tensor / largest)  # NaN stays NaN
    norm = per_sample(flat_norm(scaled), tensor)
    return torch.where(norm == 0, scaled, scaled / norm)


def rounded_step(y: Tensor, delta: Tensor) -> Tensor:
    """What is left of delta where y + delta is rounded to a y of half precision; delta itself in any other."""
    if y.dtype not in (torch.float16, torch.bfloat16):
        return delta
    wide = working(y)
    return (wide + delta).to(y.dtype).to(wide.dtype) - wide


def squared_change(reference: Tensor, attacked: Tensor) -> Tensor:
    """``||reference - attacked||^2`` row by row, (N, ...) -> (N,), in float32 or better whatever autocast does."""
    return flat(working(attacked) - working(reference)).square().sum(1)


def result_dtype(tensor: Tensor) -> torch.dtype:
    """The dtype of the tensor, or float32 if that is wider: of differences, and of results."""
    return torch.promote_types(tensor.dtype, torch.float32)


def working(tensor: Tensor) -> Tensor:
    """The tensor in float32 or better, the precision in which perturbations live."""
    return tensor.to(result_dtype(tensor))
