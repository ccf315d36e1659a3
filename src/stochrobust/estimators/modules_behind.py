"""Which modules a call of an estimator runs, where the estimator is no module itself or holds some that it has not
registered: wrappers, decorators, partials, bound methods, closures, and objects that keep a network.
"""

from __future__ import annotations

import functools
import types
from collections import deque
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

MOST = 2000
"""How many objects are looked at: what lies deeper in a large program is no part of an estimator."""
PLAIN: tuple[type, ...] = (str, bytes, int, float, complex, bool, type(None), type, types.ModuleType)
PLAIN += (Tensor, torch.Generator, torch.dtype, torch.device)


class Several(nn.ModuleList):
    """Modules that one call runs, none of which holds the others."""


def modules_behind(G: object) -> list[nn.Module]:
    """The modules that G is, wraps, closes over or keeps, without those that are part of another one found before.

    Looked through: ``functools.partial`` and its arguments, bound methods, ``__wrapped__``, the variables a function
    closes over and the global ones it names, attributes of objects, and containers of all these.
    """
    found: list[nn.Module] = []
    parts: set[int] = set()
    seen: dict[int, object] = {}  # kept alive: an id may not come again
    waiting = deque([G])
    while waiting and len(seen) < MOST:
        value = waiting.popleft()
        if id(value) in seen or isinstance(value, PLAIN):
            continue
        seen[id(value)] = value
        if isinstance(value, nn.Module):
            if id(value) not in parts:
                found.append(value)
                layers = list(value.modules())
                parts |= {id(layer) for layer in layers}
                waiting.extend(held for layer in layers for held in _held_unregistered(layer))
        else:
            waiting.extend(_named_by(value))
    return [module for module in found if not any(_contains(other, module) for other in found)]


def _contains(whole: nn.Module, part: nn.Module) -> bool:
    return whole is not part and any(layer is part for layer in whole.modules())


def _held_unregistered(layer: nn.Module) -> Iterator[object]:
    """What a module of the caller's keeps as a plain attribute and may call: a lambda, a list of networks."""
    if type(layer).__module__.startswith("torch.") or isinstance(layer, torch.jit.ScriptModule):
        return
    for name, value in vars(layer).items():
        if not name.startswith("_") and not isinstance(value, PLAIN):
            yield value


def _named_by(value: object) -> Iterable[object]:
    """The next objects to look at."""
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, types.MethodType):
        return [value.__self__, value.__func__]
    if isinstance(value, types.FunctionType):
        return _named_by_function(value)
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return value
    if type(value).__module__.partition(".")[0] in ("torch", "numpy", "builtins"):
        return []
    wrapped = getattr(value, "__wrapped__", None)
    return [*getattr(value, "__dict__", {}).values(), wrapped, *_named_by_call(value)]


def _named_by_call(value: object) -> list[object]:
    """What the ``__call__`` of an object's class names."""
    call = vars(type(value)).get("__call__")
    return _named_by_function(call) if isinstance(call, types.FunctionType) else []


def _named_by_function(function: types.FunctionType) -> list[object]:
    """What a function closes over, wraps, has as defaults, and what it names of its file: modules and functions."""
    named: list[object] = [getattr(function, "__wrapped__", None), *(function.__defaults__ or ())]
    for cell in function.__closure__ or ():
        try:
            named.append(cell.cell_contents)
        except ValueError:  # not bound yet
            continue
    if function.__module__ is None or function.__module__.partition(".")[0] in ("torch", "stochrobust"):
        return named
    for name in _names_in(function.__code__):
        value = function.__globals__.get(name)
        if isinstance(value, types.FunctionType):
            if value.__module__ == function.__module__:
                named.append(value)
        elif callable(value) and not isinstance(value, type | types.BuiltinFunctionType):
            named.append(value)
    return named


def _names_in(code: types.CodeType) -> set[str]:
    """The global names in a function's code and in that of the functions inside it."""
    inside = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return {*code.co_names, *(name for inner in inside for name in _names_in(inner))}


def module_behind(G: object) -> nn.Module | None:
    """All modules behind G as one: the module itself, a list of several, or None."""
    found = modules_behind(G)
    if len(found) > 1:
        return Several(found)
    return found[0] if found else None
