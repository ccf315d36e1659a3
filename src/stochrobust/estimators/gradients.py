"""The gradient of a change with respect to delta, and of nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class NoGradientError(ValueError):
    """G's output changes with its input, and torch has no gradient of it."""

    def __init__(self) -> None:
        super().__init__(
            "G's output changes with its input but carries no gradient to it (a no_grad inside G, or a G that is "
            "not torch?): measure it with attack=SubspaceSearch()"
        )


@contextmanager
def telling_of_numpy() -> Iterator[None]:
    """Within, a tensor that cannot be made an array, as a gradient is asked of it, is said to have none.

    Raises:
        NoGradientError: in place of torch's error, which sends the reader to ``detach``.
    """
    try:
        yield
    except RuntimeError as error:
        if "numpy() on Tensor that requires grad" not in str(error):
            raise
        raise NoGradientError from error


def gradient_of(
    change: Tensor, delta: Tensor, make_again: Callable[[Tensor], Tensor], module: nn.Module | None
) -> Tensor:
    """The gradient of the summed change; zero where G does not look at its input.

    A reentrant checkpoint gives gradients by ``backward()`` only, which would also make those of the parameters: the
    change is then made again while those learn nothing.

    Args:
        change: of each row.
        delta: the leaf it was made of.
        make_again: the change of another leaf.
        module: whose parameters there are.

    Raises:
        NoGradientError: the output changes but carries no gradient.
        ValueError: it has a reentrant checkpoint in an unknown module.
    """
    if not change.requires_grad:
        if bool((change != 0).any()):
            raise NoGradientError
        return torch.zeros_like(delta)
    try:
        (gradient,) = torch.autograd.grad(change.sum(), delta, allow_unused=True)
    except RuntimeError as error:
        if ".grad()" not in str(error):  # torch's own words about reentrant checkpoints, in all its versions
            raise
        if module is None:
            raise ValueError(
                "G has a reentrant checkpoint, through which torch gives no gradient of the input alone: pass "
                "use_reentrant=False to torch.utils.checkpoint, or module= here"
            ) from error
        with _learning_nothing(module):
            leaf = delta.detach().requires_grad_()
            make_again(leaf).sum().backward()
        return torch.zeros_like(delta) if leaf.grad is None else leaf.grad
    return torch.zeros_like(delta) if gradient is None else gradient


@contextmanager
def _learning_nothing(module: nn.Module) -> Iterator[None]:
    """Within, no parameter asks for a gradient."""
    learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
    try:
        for parameter in learning:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
