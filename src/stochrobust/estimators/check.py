"""A look at an estimator before anything is measured or trained: what would make the numbers say less."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from stochrobust._arguments import check_finite
from stochrobust._tensors import Tree, working
from stochrobust.estimators.contract import Estimator
from stochrobust.estimators.diagnosis import Concern, coupled_samples, ignores_seed, irreproducible
from stochrobust.estimators.gradients import NoGradientError
from stochrobust.estimators.kept_state import what_moved
from stochrobust.estimators.left_as_found import autograd_possible
from stochrobust.estimators.same_seed import SameSeed
from stochrobust.estimators.seeds import Randomness, SampleZ


def check_estimator(
    G: Estimator,
    y: Tensor,
    n_seeds: int = 2,
    *,
    z: Tree = None,
    sample_z: SampleZ | None = None,
    cond: Tree = None,
    module: nn.Module | None = None,
    generator: Randomness = None,
) -> tuple[Concern, ...]:
    """Look for what would make a loss or a measurement of this estimator meaningless, in at most six passes.

    Nothing is printed, and nothing is raised for a doubt. Each concern is a sentence with a ``code``: "seed ignored"
    (all seeds of a G that takes some give one output), "irreproducible" (noise that is not replayed, or state that
    cannot be held), "batch-dependent", "no gradient" and "not finite" (with respect to y), "module unknown"
    (something learns, and no module was found to be left as it was: name it by ``module=``), "state" (what a pass
    writes to in this mode; it is held, but two passes of yours differ), and "train mode".

    Args:
        G, y, n_seeds, z, sample_z, cond, module, generator: as in :func:`~stochrobust.sensitivity`.

    Returns:
        What there is to say; empty where all is well.

    Raises:
        ValueError, TypeError: where G cannot be called at all: for bad shapes, missing seeds, arguments of wrong kinds.

    Example:
        >>> import torch
        >>> check_estimator(lambda y: 3 * y, torch.rand(4, 2), n_seeds=1)
        ()
        >>> (found,) = check_estimator(lambda y: y - y.mean(0), torch.rand(4, 2), n_seeds=1)
        >>> found.code
        'batch-dependent'

    Source: what Eq. 6 asks of G, one function of y and Z for each sample.
    """
    with torch.no_grad(), autograd_possible():
        held = SameSeed(G, y, n_seeds, z=z, sample_z=sample_z, cond=cond, module=module, generator=generator)
        check_finite("y", held.y)
        clean = held.outputs()
        if not bool(torch.isfinite(clean).all()):
            return (Concern("G returns NaN or infinity at y", "not finite"),)
        hidden = irreproducible(held, clean)
        seeds = None if held.z is None else ignores_seed(held, clean)
        found = [seeds, hidden, None if hidden else coupled_samples(held, clean)]
        found += [*_gradients(held, clean), _state(held), _mode(held)]
        return tuple(concern for concern in found if concern is not None)


def _gradients(held: SameSeed, clean: Tensor) -> list[Concern | None]:
    """Whether a gradient reaches y, and whether something learns that no module was found for."""
    nothing = Concern("no gradient of G's output reaches y: no attack by gradients can find anything", "no gradient")
    try:
        return _gradients_of_torch(held, clean, nothing)
    except NoGradientError:
        return [nothing]


def _gradients_of_torch(held: SameSeed, clean: Tensor, nothing: Concern) -> list[Concern | None]:
    with torch.enable_grad():
        leaf = torch.zeros_like(working(held.y)).requires_grad_()
        outputs = held.rows(leaf, held.chunks[0])
        learns = held.module is None and held.rows(None, held.chunks[0]).requires_grad and not held.y.requires_grad
        unknown = Concern(
            "something in G learns, but no module was found, so that none is left as it was: name it by module=",
            "module unknown",
        )
        gradient = None
        if outputs.requires_grad:
            weights = torch.ones_like(outputs) + clean.abs()
            (gradient,) = torch.autograd.grad(outputs, leaf, weights, allow_unused=True)
    found = None
    if gradient is None or not bool((gradient != 0).any()):
        found = nothing
    elif not bool(torch.isfinite(gradient).all()):
        found = Concern("the gradient of G's output with respect to y is not finite", "not finite")
    return [found, unknown if learns else None]


def _state(held: SameSeed) -> Concern | None:
    names = what_moved(held.module)
    if not names:
        return None
    return Concern(
        f"G's passes write to {', '.join(names[:3])}{' and more' if len(names) > 3 else ''}: held in passes of the "
        "library, but two of yours differ",
        "state",
    )


def _mode(held: SameSeed) -> Concern | None:
    layers = [] if held.module is None else held.module.modules()
    active = [type(layer).__name__ for layer in layers if layer.training and isinstance(layer, _NormBase | _DropoutNd)]
    if not active:
        return None
    return Concern(
        f"{len(active)} layer(s) such as {active[0]} are in train mode: right for a loss in training; to measure, "
        "call G.eval()",
        "train mode",
    )
