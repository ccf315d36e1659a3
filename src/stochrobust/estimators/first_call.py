"""One check of an estimator at its first call: noise that is not replayed makes every value meaningless, silently."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from stochrobust.estimators.diagnosis import irreproducible, warn
from stochrobust.estimators.modules_behind import Several
from stochrobust.estimators.same_seed import SameSeed

_checked: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()


def check_first_call(held: SameSeed, clean: Tensor | None = None) -> None:
    """Warns if a second pass at held seeds gives other outputs; once per module, or per function without one.

    Args:
        held: G, y and the seeds.
        clean: the outputs at y; None to make them, without gradients.

    Warns:
        AttackWarning: G is not the same function in two calls.
    """
    keys = [key for key in _identities(held) if key not in _checked]
    if not keys:
        return
    for key in keys:
        _checked[key] = True
    # What a checkpoint around the caller's step counts is not to depend on whether this is the first call.
    own = torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, lambda tensor: tensor)
    with own, torch.set_grad_enabled(torch.is_grad_enabled() and clean is not None):
        sentence = irreproducible(held, held.outputs() if clean is None else clean)
    if sentence is not None:
        warn((sentence,))


def _identities(held: SameSeed) -> list[Any]:
    """Its modules; else the code of its function, which is one for a lambda made anew in each step; else its object."""
    if held.module is not None:
        return list(held.module) if isinstance(held.module, Several) else [held.module]
    key = getattr(held.G, "__code__", held.G)
    try:
        hash(key)
        WeakKeyDictionary({key: True})
    except TypeError:
        return []
    return [key]
