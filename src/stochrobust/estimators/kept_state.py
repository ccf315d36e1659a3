"""What modules keep between calls: held in copies during a pass of ours, and as it was afterwards.

Buffers, and tensors or tuples of them in plain attributes (a recurrent state, a cache). A pass writes into copies:
writing into a buffer of the caller's, or writing back, would break a pending graph of theirs. All passes so start
from one state.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parametrize

from stochrobust._tensors import tree_map, tree_tensors
from stochrobust.estimators.modules_behind import Several

Mode: TypeAlias = tuple[bool, tuple[bool, ...]]
Place: TypeAlias = tuple[nn.Module, str, bool]
"""A layer, a name in it, and whether that is a buffer's."""
OWN = ("_parameters", "_buffers", "_modules")

_locks: WeakKeyDictionary[nn.Module, Any] = WeakKeyDictionary()
_seen: WeakKeyDictionary[nn.Module, set[Mode]] = WeakKeyDictionary()
_moving: WeakKeyDictionary[nn.Module, dict[str, None]] = WeakKeyDictionary()
_written: WeakKeyDictionary[nn.Module, set[str]] = WeakKeyDictionary()
_moved_in: WeakKeyDictionary[nn.Module, dict[tuple[bool, ...], dict[str, None]]] = WeakKeyDictionary()
_one_at_a_time = threading.Lock()


@contextmanager
def state_kept(module: nn.Module | None) -> Iterator[None]:
    """Within, passes leave what the module keeps as they found it; another thread's passes of it wait.

    Copies are made for a module with a layer in train mode, for one that has been seen to move something, and for the
    first pass in each mode, which finds out; a module in eval mode that keeps still costs nothing from then on. The
    first pass also looks at the parameters: those that do not learn and move all the same are put back from then on.

    Raises:
        ValueError: a pass changed a parameter that learns.
    """
    if module is None:
        yield
        return
    with ExitStack() as locks:
        for root in sorted(_roots(module), key=id):
            locks.enter_context(_lock_of(root))
        watched = _Pass(module)
        theirs = parametrize._cache  # of parametrize.cached(): a weight of ours would be one without the caller's graph
        try:
            parametrize._cache = {}
            watched.begin()
            yield
        finally:
            parametrize._cache = theirs
            watched.end()
        watched.learn()


class _Pass:
    """What a module keeps, before and after one pass."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.roots, self.layers = module, _roots(module), list(module.modules())
        self.mode = (torch.is_grad_enabled(), tuple(layer.training for layer in self.layers))
        self.first = not all(self.mode in _seen.get(root, ()) for root in self.roots)
        training, moves = any(self.mode[1]), any(root in _moving for root in self.roots)
        self.copied = self.first or training or moves or _distributed(self.layers)
        self.attributes = [(layer, dict(vars(layer))) for layer in self.layers if _of_a_caller(layer)]
        self.before = dict(_kept(self.layers))
        self.copies = _copies(self.before) if self.copied else self.before
        self.versions = {place: _versions(value) for place, value in self.copies.items()}
        self.parameters = _watched(module, self.roots, self.first)
        self.after: dict[Place, Any] = {}
        self.changed: list[nn.Parameter] = []

    def begin(self) -> None:
        """Copies in place of what is kept."""
        for place, value in self.copies.items():
            if value is not self.before[place]:
                _put(place, value)

    def end(self) -> None:
        """All as it was."""
        self.after = dict(_kept(self.layers))
        _restore(self.before, self.after, self.attributes)
        for parameter, value in self.parameters:
            if not bool(_same(parameter.detach(), value).all()):
                parameter.data.copy_(value)
                self.changed.append(parameter)

    def learn(self) -> None:
        """Remembers what moved; a parameter that learns must not have."""
        moved = [
            place
            for place, value in self.after.items()
            if _has_moved(value, place, self.before, self.versions, self.first)
        ]
        if moved and not self.copied:
            _tell(self.module, moved)
        names = [_named(self.module, layer, name) for layer, name, _ in moved]
        ids = {id(parameter) for parameter in self.changed}
        for root in self.roots:
            if moved:
                _moving.setdefault(root, {}).update(dict.fromkeys(names))
            written = [name for name, parameter in root.named_parameters() if id(parameter) in ids]
            if ids:
                _written.setdefault(root, set()).update(written)
            here = _moved_in.setdefault(root, {}).setdefault(self.mode[1], {})
            here.update(dict.fromkeys((*names, *sorted(written))))
            _seen.setdefault(root, set()).add(self.mode)
        _refuse([parameter for parameter in self.changed if parameter.requires_grad], self.module)


def what_moved(module: nn.Module | None) -> list[str]:
    """The names of what passes of a module, with its layers in the modes they are in, have been seen to write to."""
    if module is None:
        return []
    modes = tuple(layer.training for layer in module.modules())
    return [name for root in _roots(module) for name in _moved_in.get(root, {}).get(modes, ())]


def _roots(module: nn.Module) -> list[nn.Module]:
    return list(module) if isinstance(module, Several) else [module]


def _watched(module: nn.Module, roots: list[nn.Module], first: bool) -> list[tuple[nn.Parameter, Tensor]]:
    """Parameters with their values: all of them in a first pass, later those that are known to be written to."""
    if first:
        watched = list(module.parameters())
    else:
        watched = [root.get_parameter(name) for root in roots for name in sorted(_written.get(root, ()))]
    return [(parameter, parameter.detach().clone()) for parameter in watched if type(parameter) is nn.Parameter]


def _of_a_caller(layer: nn.Module) -> bool:
    """Whether a layer's class may keep tensors in plain attributes: those of torch.nn do not."""
    return not (type(layer).__module__.startswith("torch.nn.") or isinstance(layer, torch.jit.ScriptModule))


def _lock_of(root: nn.Module) -> Any:
    with _one_at_a_time:
        return _locks.setdefault(root, threading.RLock())


def _distributed(layers: list[nn.Module]) -> bool:
    return any(isinstance(layer, DistributedDataParallel) for layer in layers)


def _kept(layers: list[nn.Module]) -> Iterator[tuple[Place, Any]]:
    """Every buffer, and every plain attribute that is a tensor or a tuple of them."""
    for layer in layers:
        for name in list(layer._buffers.keys()):
            yield (layer, name, True), getattr(layer, name)
        if _of_a_caller(layer):
            for name, value in list(vars(layer).items()):
                if name not in OWN and _holds_tensors(value):
                    yield (layer, name, False), value


def _holds_tensors(value: object) -> bool:
    """A tensor, or a tuple of them. Lists and dicts of a module's are let be: more often than not they are its log."""
    return isinstance(value, Tensor) or (type(value) is tuple and bool(value) and _holds_tensors(value[0]))


def _copies(kept: dict[Place, Any]) -> dict[Place, Any]:
    """The same with copies of the tensors; one that is kept in two places has one copy. What learns is not copied."""
    made: dict[int, Tensor] = {}

    def copy(tensor: Tensor) -> Tensor:
        return made.setdefault(id(tensor), tensor.clone())

    def copied(value: Any) -> Any:
        leaves = tree_tensors(value)
        if not leaves or any(leaf.requires_grad or isinstance(leaf, nn.Parameter) for leaf in leaves):
            return value
        return tree_map(copy, value)

    return {place: copied(value) for place, value in kept.items()}


def _put(place: Place, value: Any) -> None:
    layer, name, is_buffer = place
    if isinstance(layer, torch.jit.ScriptModule):
        setattr(layer, name, value)
    elif is_buffer:
        layer._buffers[name] = value
    else:
        layer.__dict__[name] = value


def _restore(
    before: dict[Place, Any], after: dict[Place, Any], attributes: list[tuple[nn.Module, dict[str, Any]]]
) -> None:
    """Every place holds again what it did, and places that a pass has made are gone."""
    plain = {id(layer): values for layer, values in attributes}
    for place in after.keys() - before.keys():
        layer, name, is_buffer = place
        if not is_buffer and name in plain[id(layer)]:
            layer.__dict__[name] = plain[id(layer)][name]
        else:
            (layer._buffers if is_buffer else layer.__dict__).pop(name, None)
    for place, value in before.items():
        if place not in after or value is not after[place]:
            _put(place, value)


def _versions(value: Any) -> list[tuple[int, int]]:
    return [(id(leaf), -1 if leaf.is_inference() else leaf._version) for leaf in tree_tensors(value)]


def _has_moved(
    value: Any, place: Place, before: dict[Place, Any], versions: dict[Place, list[tuple[int, int]]], by_value: bool
) -> bool:
    """Whether a pass wrote into the tensors of this place, or put others there; by value, too, where asked for."""
    if place not in before:
        return True
    if _versions(value) != versions[place]:
        return True
    pairs = zip(tree_tensors(value), tree_tensors(before[place]), strict=True)
    return by_value and not all(a.shape == b.shape and bool(_same(a, b).all()) for a, b in pairs)


def _same(a: Tensor, b: Tensor) -> Tensor:
    """Element by element; NaN is NaN."""
    return (a == b) | ((a != a) & (b != b))


def _named(module: nn.Module, layer: nn.Module, name: str) -> str:
    path = next(path for path, other in module.named_modules() if other is layer)
    return f"{path}.{name}" if path else name


def _tell(module: nn.Module, moved: list[Place]) -> None:
    names = ", ".join(_named(module, layer, name) for layer, name, _ in moved)
    warnings.warn(
        f"G changed what it keeps ({names}) in a pass, as it had not done before in this mode; it is held from now on",
        RuntimeWarning, stacklevel=2,
    )  # fmt: skip


def _refuse(changed: list[nn.Parameter], module: nn.Module) -> None:
    if changed:
        ids = {id(parameter) for parameter in changed}
        names = [name for name, parameter in module.named_parameters() if id(parameter) in ids]
        raise ValueError(
            f"G must not change its parameters in a pass, got changes of {', '.join(names)} (data-dependent "
            "initialisation, as ActNorm's?): call G once on a batch of your own first"
        )


def per_sample_buffers(module: nn.Module | None, y: Tensor) -> list[tuple[dict[str, Any], str]]:
    """Where buffers are that hold one row per sample of y, such as a mask per image; a class names them.

    Its ``per_sample_buffers`` are their names. One of as many dimensions as y, and more than one row, is meant.
    """
    places = []
    for layer in () if module is None else module.modules():
        for name in getattr(type(layer), "per_sample_buffers", ()):
            buffer = layer.get_buffer(name)
            if buffer.ndim == y.ndim and len(buffer) == len(y) > 1:
                places.append((layer._buffers, name))
    return places


@contextmanager
def rows_of_their_samples(places: list[tuple[dict[str, Any], str]], samples: Tensor) -> Iterator[None]:
    """Within, those buffers hold one row for each row of a pass: that of its sample."""
    before = [(buffers, name, buffers[name]) for buffers, name in places]
    try:
        for buffers, name, buffer in before:
            buffers[name] = buffer[samples.to(buffer.device)]
        yield
    finally:
        for buffers, name, buffer in before:
            buffers[name] = buffer
