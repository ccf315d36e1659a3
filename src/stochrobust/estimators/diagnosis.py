"""What makes a measurement meaningless, found and named: noise that is not replayed, samples that depend on each other,
inputs or seeds that G does not look at. Each check returns a :class:`Concern`, or None where all is well.
"""

from __future__ import annotations

import copy
import math
import sys
import warnings
from collections.abc import Iterable
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd as _Dropout

from stochrobust._tensors import flat, tree_map, working
from stochrobust.estimators.left_as_found import unsynchronised
from stochrobust.estimators.same_seed import SameSeed

NAMED = 3
"""How many layers a sentence names."""


class Concern(str):
    """A sentence on why a measured value may say less than it seems to, with a short code for programs.

    Attributes:
        code: "batch-dependent", "irreproducible", "input ignored", "seed ignored", "zero gradient",
            "weaker than random", ...; empty for a sentence of unknown kind.

    Example:
        >>> found = Concern("all 8 seeds of every sample give the same output", "seed ignored")
        >>> found.code, found.startswith("all 8 seeds")
        ('seed ignored', True)
    """

    code: str

    def __new__(cls, sentence: str, code: str = "") -> Self:
        concern = super().__new__(cls, sentence)
        concern.code = code
        return concern


def diagnose(
    held: SameSeed, clean: Tensor, attacked: Tensor | None = None, delta: Tensor | None = None
) -> list[Concern]:
    """What is wrong with G at held seeds: :func:`irreproducible`, else :func:`coupled_samples`; :func:`ignores_seed`.

    One more call of G at y, on the rows of its first call, where nothing is wrong, and one at delta; one or two more
    where something is. The number of calls is the same on all processes, unless G misbehaves on some of them only.

    Args:
        held: G, y and the seeds.
        clean: (B * S, ...) the outputs ``held.outputs()``, finite.
        attacked: those at ``delta``: samples may be coupled there only.
        delta: (B, ...) a perturbation.

    Returns:
        What was found; empty where all is well.
    """
    # A first sample that stays the same among other samples has also been reproduced.
    coupled = coupled_samples(held, clean)
    if coupled is None and attacked is not None and delta is not None:
        coupled = coupled_samples(held, attacked, delta)
    alone = held.chunks[0].stop <= held.n_seeds
    hidden = irreproducible(held, clean) if coupled or alone else None
    return [sentence for sentence in (hidden or coupled, ignores_seed(held, clean)) if sentence]


def coupled_samples(held: SameSeed, clean: Tensor, delta: Tensor | None = None) -> Concern | None:
    """Whether the outputs of the first sample change when the other samples become copies of it, or with place.

    Of the copies, the seeds change places too, sample after sample, and all are held against the first one's outputs.
    Shapes and noise drawn inside G stay the same, and so do all numbers of a G that treats samples independently.
    Changes count from ``3 sqrt(machine epsilon)`` of the outputs' norm (0.001 in float32, 0.3 in bfloat16, which is
    also the tolerance under autocast). Not decidable, so None, where no other sample is in the first call of G (one
    sample, or a small ``max_batch``) or where all samples are the same; an irreproducible G looks coupled.

    Args:
        held: as in :func:`diagnose`.
        clean: the outputs at ``delta``.
        delta: None for y itself.
    """
    chunk, n_seeds = held.chunks[0], held.n_seeds
    if chunk.stop <= n_seeds:
        return None
    with torch.no_grad():
        among = _among_copies(held).rows(None if delta is None else _taken(delta, _first(held)), chunk)
    change = _relative(among[:n_seeds], clean[:n_seeds])
    if change <= _tolerance(clean):
        return _depends_on_place(held, clean, among) if delta is None else None
    if delta is not None:
        return Concern(
            "G's output for one sample depends on the other samples of the batch where y is attacked, though not at "
            f"y: it changed by {change:.2g} of its norm when they were replaced. Some code decides for all samples by "
            "values that are usual at y, such as none below 0: give the ball a box=, or measure one sample at a time",
            "batch-dependent",
        )
    return Concern(
        f"G's output for one sample depends on the other samples of the batch: it changed by {change:.2g} of its norm "
        f"when they were replaced. Likely cause: {_couplers(held)}",
        "batch-dependent",
    )


def _depends_on_place(held: SameSeed, clean: Tensor, among: Tensor) -> Concern | None:
    """Whether copies of one input and seed have other outputs in other rows, of a G that draws no noise by itself."""
    if held.z is None and held.n_seeds > 1:
        return None
    change = _relative(among, clean[_seeds_of_copies(held, len(among))])
    if change <= _tolerance(clean):
        return None
    other = _among_copies(held)
    other.draw_other_noise()
    with torch.no_grad():
        noisy = _relative(other.rows(None, held.chunks[0]), among) > _tolerance(clean)
    if noisy:
        return None
    return Concern(
        f"G's output depends on the place in the batch: the same input and seed in another row changed it by "
        f"{change:.2g} of its norm (an index into the batch, noise kept for each row?)",
        "batch-dependent",
    )


def irreproducible(held: SameSeed, clean: Tensor) -> Concern | None:
    """Whether a second call at held seeds gives other outputs than the first; tolerance as in :func:`coupled_samples`.

    torch's global generators are replayed (dropout, ``torch.randn``); G's own generators, numpy's and Python's are not.

    Args:
        held, clean: as in :func:`diagnose`.
    """
    chunk = held.chunks[0]
    # In the mode of what it is compared with: some layers have other kernels without gradients.
    with torch.set_grad_enabled(clean.requires_grad), unsynchronised(held.module):
        change = _relative(held.rows(None, chunk).detach(), clean[chunk].detach())
    if change <= _tolerance(clean):
        return None
    return Concern(
        f"G is not the same function in two calls: its output changed by {change:.2g} of its norm at the same input "
        "and seed. It keeps state, or draws noise that is not replayed (its own torch.Generator, numpy's, Python's): "
        "name its generators by HiddenNoise, draw from torch's global generator, or take the noise as z",
        "irreproducible",
    )


def ignores_input(random_value: Tensor, eps: Tensor) -> Concern | None:
    """Whether the output changes for no sample when y moves by a random delta of full length.

    Args:
        random_value: (B,) ``||G(y, z) - G(y + delta, z)||^2`` for such a delta.
        eps: (B,) the radii; samples with radius zero do not count.
    """
    if not bool((eps > 0).any()) or bool((random_value[eps > 0] != 0).any()):
        return None
    return Concern(
        "G's output is exactly the same at y and at y + delta: G ignores its input, or delta is lost when it is "
        "rounded to y's dtype or quantised inside G",
        "input ignored",
    )


def ignores_seed(held: SameSeed, clean: Tensor) -> Concern | None:
    """Whether all seeds of every sample give the same output, up to 1e-5 of its norm (2e-14 in float64).

    Args:
        held, clean: as in :func:`diagnose`.
    """
    if held.n_seeds == 1:
        return None
    outputs = flat(working(clean)).reshape(-1, held.n_seeds, clean[0].numel())
    if _relative(outputs, outputs[:, :1].expand_as(outputs)) > 100 * torch.finfo(outputs.dtype).eps:
        return None
    cause = "G draws no noise" if held.z is None else "G ignores z, or the seeds given are the same"
    return Concern(
        f"all {held.n_seeds} seeds of every sample give the same output: {cause}; n_seeds=1 measures the same for less",
        "seed ignored",
    )


def in_train_mode(module: nn.Module | None) -> Concern | None:
    """Whether layers that differ between training and use are in train mode."""
    layers = [] if module is None else [layer for layer in module.modules() if layer.training]
    kinds = sorted({type(layer).__name__ for layer in layers if isinstance(layer, _Dropout | _BatchNorm)})
    if not kinds:
        return None
    return Concern(
        f"G is in train mode, in which {', '.join(kinds)} are not what they are in use: call G.eval(), unless that is "
        "what is to be measured",
        "train mode",
    )


def _among_copies(held: SameSeed) -> SameSeed:
    """The same estimator and noise, with every sample, its seeds and conditions replaced by those of the first."""
    other = copy.copy(held)
    first = _first(held)
    seeds = _seeds_of_copies(held, len(held.y) * held.n_seeds)
    other.y = _taken(held.y, first)
    other.z = tree_map(lambda leaf: _taken(leaf, seeds), held.z)
    other.cond = tree_map(lambda leaf: _taken(leaf, first), held.cond)
    other._samples = torch.zeros_like(held._samples)
    return other


def _seeds_of_copies(held: SameSeed, n_rows: int) -> Tensor:
    """Which of the first sample's seeds each row has: 0, 1, 2, ... of the first copy, 1, 2, ..., 0 of the next."""
    rows = torch.arange(n_rows, device=held.y.device)
    return (rows + rows // held.n_seeds) % held.n_seeds


def _first(held: SameSeed) -> Tensor:
    """The first sample's index, for every sample."""
    return torch.zeros(len(held.y), dtype=torch.long, device=held.y.device)


def _taken(tensor: Tensor, rows: Tensor) -> Tensor:
    """Some rows, as many as there are, in the tensor's memory format."""
    return torch.empty_like(tensor).copy_(tensor[rows])


def _relative(found: Tensor, expected: Tensor) -> float:
    """``||found - expected|| / ||expected||``; infinite where only ``expected`` is zero."""
    change: Tensor = torch.linalg.vector_norm(working(found) - working(expected))
    return float(change / torch.linalg.vector_norm(working(expected))) if change > 0 else 0.0


def _tolerance(clean: Tensor) -> float:
    """Three times the root of the machine epsilon, of the least precise dtype at work."""
    dtypes = [clean.dtype]
    if torch.is_autocast_enabled(clean.device.type):
        dtypes.append(torch.get_autocast_dtype(clean.device.type))
    return 3 * math.sqrt(max(torch.finfo(dtype).eps for dtype in dtypes))


def _couplers(held: SameSeed) -> str:
    """The layers that use statistics of the batch, by name; or a guess."""
    if held.module is None:
        return "an operation across samples, or batch normalisation in a module that module= did not name"
    names = [
        f"{name or 'G'} ({type(layer).__name__})"
        for name, layer in held.module.named_modules()
        if isinstance(layer, _BatchNorm) and _uses_the_batch(layer, held)
    ]
    if not names:
        return "an operation across samples"
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return (
        f"{', '.join(names[:NAMED])}{more}, normalising with the statistics of the batch; call G.eval() to measure, or "
        "train with norm_statistics='running'"
    )


def _uses_the_batch(layer: nn.Module, held: SameSeed) -> bool:
    return layer.running_mean is None or (layer.training and held.norm_statistics == "batch")


NEARLY_RANDOM = 0.99  # of a random direction's value: an attack that finds less has failed; equal it may well be


class AttackWarning(UserWarning):
    """A measured value that says less than it seems to: see the message.

    Example:
        >>> import warnings
        >>> import torch
        >>> from stochrobust import sensitivity
        >>> with warnings.catch_warnings(record=True, action="always") as caught:
        ...     found = sensitivity(lambda y: torch.ones_like(y), torch.zeros(1, 2), eps=0.1)
        >>> caught[0].category.__name__
        'AttackWarning'
    """


def concerns_about(
    held: SameSeed,
    clean: Tensor,
    eps: Tensor,
    value: Tensor,
    random_value: Tensor,
    stalled: Tensor,
    attacked: Tensor,
    delta: Tensor,
    random_change: Tensor | None = None,
) -> tuple[Concern, ...]:
    """Why a measured value may say less than it seems to.

    ``attacked`` are the outputs at ``delta``. ``random_change`` is the change of the outputs along the random
    direction, where ``random_value`` is another number.
    """
    blind = ignores_input(random_value if random_change is None else random_change, eps)
    found = [*diagnose(held, clean, attacked, delta), blind]
    n_stalled = int(stalled.sum())
    if n_stalled and blind is None:
        sentence = (
            f"the gradient of G with respect to y was zero at every step for {n_stalled} of {len(eps)} samples: "
            "nothing was searched there, and a small value is no sign of robustness (a saturated or rounded output?)"
        )
        found.append(Concern(sentence, "zero gradient"))
    if float(value.sum()) < NEARLY_RANDOM * float(random_value.sum()):
        sentence = (
            f"the attack found less ({float(value.mean()):.3g} on average) than one random direction did "
            f"({float(random_value.mean()):.3g}): take more steps, more seeds, or see attack_evidence"
        )
        found.append(Concern(sentence, "weaker than random"))
    return tuple(concern for concern in found if concern is not None)


def rounded_away(length: Tensor, applied: Tensor, dtype: torch.dtype) -> tuple[Concern, ...]:
    """Whether delta loses or gains over 1 % of its length (B,) when y + delta is rounded."""
    change = float(((applied - length).abs() / length.clamp_min(torch.finfo(length.dtype).tiny)).max())
    if change <= 0.01:
        return ()
    return (
        Concern(
            f"delta is not what G gets: y + delta is rounded to {str(dtype).removeprefix('torch.')}, which changes its "
            f"length by up to {change:.1%}; gain is of the rounded one, the value of what G got (give y in float32)",
            "rounded delta",
        ),
    )


def warn(concerns: Iterable[str]) -> None:
    """Each sentence as a warning, of the line that called the library."""
    outside = 2
    while sys._getframe(outside - 1).f_globals.get("__name__", "").startswith("stochrobust."):
        outside += 1
    for sentence in concerns:
        warnings.warn(sentence, AttackWarning, stacklevel=outside)
