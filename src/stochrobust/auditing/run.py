"""The audit itself: one pass over the data, a report at the end."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from stochrobust._arguments import (
    check_callable_or_none,
    check_count,
    check_module_or_none,
    check_scale,
    check_truth,
    describe,
)
from stochrobust._files import Digest
from stochrobust._tensors import tree_tensors
from stochrobust.attacks.ascent import Method, check_attack, check_ball
from stochrobust.attacks.balls import L2, Ball
from stochrobust.attacks.by_gradient import AdamAscent
from stochrobust.attacks.subspace import SubspaceSearch
from stochrobust.auditing.cache import Store
from stochrobust.auditing.data import AT_ONCE, AuditData, Batch, is_whole, read, read_images
from stochrobust.auditing.measure import ATTACKS, Measured, kept, measure
from stochrobust.auditing.pixels import check_pixel_range, outside_of
from stochrobust.auditing.plan import Noise, Plan
from stochrobust.auditing.quality import pixel_features
from stochrobust.auditing.report import AuditReport
from stochrobust.auditing.settings import AuditSettings
from stochrobust.auditing.totals import RealFeatures, Totals
from stochrobust.consistency.projector import Projector, check_projector
from stochrobust.estimators.contract import Estimator, module_of
from stochrobust.estimators.diagnosis import Concern, ignores_seed, in_train_mode, warn
from stochrobust.estimators.left_as_found import autograd_possible
from stochrobust.estimators.seeds import SampleZ
from stochrobust.metrics.extractors import FeatureExtractor, check_extractor


def audit(
    G: Estimator,
    data: AuditData,
    *,
    eps: float,
    projector: Projector | None = None,
    real: Tensor | Iterable[Any] | None = None,
    extractor: FeatureExtractor | None = None,
    sample_z: SampleZ | None = None,
    module: nn.Module | None = None,
    noise: Noise | None = None,
    pixel_range: tuple[float, float] = (0.0, 1.0),
    attack: Method | None = None,
    ball: Ball = L2(),  # noqa: B008 (a frozen value)
    title: str = "",
    settings: AuditSettings = AuditSettings(),  # noqa: B008 (a frozen value)
    cache: str | os.PathLike[str] | None = None,
    max_batch: int | None = None,
    progress: bool = False,
) -> AuditReport:
    """Measure all there is to say about a restorer, in one pass over (y, x): the numbers, and what they mean in words.

    Quality (Frechet distance, precision, recall, density, coverage), consistency, diversity, distortion, calibration,
    and robustness (Eq. 9) under the paper's attack and a strong one, beside the baseline of a random direction; each
    with an interval. Quality and distortion are of outputs clamped to the range, all else of outputs as they are.

    Random numbers belong to the number of an input in the data, so that results do not depend on the batches (rounding
    apart; noise that G draws inside is that of a batch). G is used in the mode it is in, and left as it was found.

    Args:
        G: the estimator, ``G(y, z)`` or ``G(y)``, deterministic or not, see :mod:`stochrobust.estimators`; whether two
            seeds give different outputs is found out.
        data: (N, C, H, W) sources x, then ``y = projector.D(x)``; a pair ``(y, x)`` of tensors; a mapping of "x" and,
            where they are, "y" and "cond" (further inputs, passed on as ``G(y, z, cond)``); or an iterable of batches,
            each one of these. Read once. y may be of any shape, batch first.
        eps: radius of the attacks, L2 over all elements of one y, absolute, above 0; see
            :func:`~stochrobust.eps_from_psnr`.
        projector: of the degradation, for the consistency; needed where the data are x alone.
        real: images of the same range that quality is measured against, a tensor or batches; None: the x of the data.
        extractor: of the features that quality is measured on; None: the pixels themselves, which do for small images
            only. Grey images are given to one of three channels as three equal ones.
        sample_z: ``sample_z(y, generator) -> z``, where G has no such method.
        module: the module to leave as it was, and identified by its weights, where G is a closure over it.
        noise: standard deviation of the noise in y, for ``y = D(x) + noise``: a number, a tensor that broadcasts to y,
            or a function of ``D(x)``; outputs are then held against it (:func:`~stochrobust.noise_consistency`), and
            not against y alone. For pairs (y, x) only: a y that is made from x alone holds no noise.
        pixel_range: lowest and highest value of x and of the outputs. Decibels are of its width; eps and noise are in
            the units of the data, whatever the range.
        attack: the strong attack, such as ``PGD(100, step=0.1)``; None: :data:`~stochrobust.EVALUATION`, and
            :class:`~stochrobust.SubspaceSearch` where no gradient passes through G.
        ball: where delta may be, such as ``L2(mask=observed)``; lengths are L2 in any ball. As in the paper, all of y
            by default.
        title: of the report; by default the name of G.
        settings: how much is measured.
        cache: a folder for the numbers of every batch, by which an audit that was broken off goes on; they are taken
            for what they are only if G, projector, extractor, data and settings are what they were.
        max_batch: the most rows one call of G may get, and the most inputs read at once; None: as many as the first
            batch has, and 64 of a tensor.
        progress: shows a bar, with tqdm.

    Returns:
        An :class:`~stochrobust.AuditReport`.

    Raises:
        ValueError: naming the argument: no data, x and y that do not fit, x outside the range, (x, y) for (y, x),
            no projector and no y, noise and no y, an output of G that is not finite (naming the input), lies mostly
            outside the range or has not the shape of x.
        TypeError: for arguments of a wrong kind.

    Example:
        >>> import torch
        >>> from stochrobust import AuditSettings, BlockAverageProjector, audit
        >>> projector = BlockAverageProjector(2)
        >>> x = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        >>> report = audit(projector.pinv, x, eps=0.1, projector=projector, settings=AuditSettings(k=1))
        >>> report.stochastic, round(report.numbers["amplification"].estimate, 3)  # that map copies each pixel of y
        (False, 1.0)

    Source: Ohayon et al., ICML 2023, section 6.1 and Table 1.
    """
    _check(G, title, settings, projector, progress)
    check_callable_or_none("sample_z", sample_z)
    check_module_or_none("module", module)
    if extractor is not None:
        check_extractor(extractor)
    check_scale("eps", eps)
    pixels = check_pixel_range(pixel_range)
    if attack is not None:
        check_attack(attack)
    check_ball(ball)
    if isinstance(noise, int | float):
        check_scale("noise", noise)
    elif not (noise is None or callable(noise) or isinstance(noise, Tensor)):
        raise TypeError(f"noise must be a number, a tensor or a function of D(x), got {describe(noise)}")
    if noise is not None and projector is None:
        raise ValueError("projector must be given where noise is: it says what y would be without the noise")
    rows = None if max_batch is None else check_count("max_batch", max_batch)
    store, device = Store(cache), _device_of(module or module_of(G))
    with torch.no_grad(), autograd_possible():
        batches = _with_the_noise(read(data, projector, rows, device, pixels), noise)
        first = next(batches)
        plan, doubts, outputs = _decided(
            Plan(
                G, float(eps), extractor or pixel_features(first.x.shape[1]), settings,
                rows or (AT_ONCE if is_whole(data) else len(first)), ATTACKS, projector, sample_z, module,
                pixels=pixels, ball=ball, noise=noise,
            ),
            first,
            attack,
        )  # fmt: skip
        totals, identity = Totals(plan, first, doubts), plan.identity(first, outputs) if cache is not None else {}
        for batch in _shown(itertools.chain([first], batches), progress, data, plan.max_batch):
            key = identity | _key(batch, real)
            found = store.recall(key, lambda: measure(plan, batch, real_features=real is None))  # noqa: B023 (called at once)
            totals.add(batch, found)
        reals = None if real is None else _features_of(real, plan, store, identity, rows, device)
        return totals.report(title or _name_of(G), reals)


def _with_the_noise(batches: Iterator[Batch], noise: Noise | None) -> Iterator[Batch]:
    """The batches, each of which holds the noise that is told."""
    for batch in batches:
        if noise is not None and not batch.paired:
            raise ValueError(
                "noise must be left out where data hold x alone: y, made from x by the projector, holds no noise; "
                "give pairs (y, x) with the noise in y (in the shell: --inputs), or leave noise out"
            )
        yield batch


def _decided(plan: Plan, first: Batch, attack: Method | None) -> tuple[Plan, list[Concern], Tensor]:
    """The plan with what the first inputs decide, kind of estimator and attacks; doubts so far; and their outputs."""
    trained = in_train_mode(plan.module or module_of(plan.G))
    if trained is not None:
        warn([trained])
    held, outputs = plan.probe(first)
    doubts = [trained, outside_of(outputs, first.x[: len(held.y)], plan.pixels)]
    attacks = dict(plan.attacks) | ({} if attack is None else {"strong": attack})
    if isinstance(attacks["paper"], AdamAscent):  # whose steps are in units of y
        attacks["paper"] = replace(attacks["paper"], lr=attacks["paper"].lr * plan.pixels.width)
    if not plan.has_gradient(first):
        attacks = {"strong": attack or SubspaceSearch()}
        doubts.append(
            Concern(
                f"no gradient passes through G: it was attacked by {attacks['strong']!r}, without gradients, and the "
                "paper's attack was left out",
                "no gradient",
            )
        )
    plan = replace(plan, attacks=attacks, stochastic=ignores_seed(held, outputs) is None)
    return plan, [doubt for doubt in doubts if doubt is not None], outputs


def _features_of(
    images: Tensor | Iterable[Any],
    plan: Plan,
    store: Store,
    identity: dict[str, Any],
    rows: int | None,
    device: torch.device | None,
) -> RealFeatures:
    """The features of the real images, which are read batch by batch too."""
    of_extractor = {name: identity.get(name) for name in ("extractor", "features", "version")}
    digest, parts = Digest(), []
    for batch in read_images("real", images, rows, plan.pixels):
        digest.update(batch)
        measured = store.recall(
            {"real": Digest.of(batch)} | of_extractor,
            lambda: Measured({"real": kept(_moved_features(batch, plan, device))}),  # noqa: B023 (called at once)
        )
        parts.append(measured.numbers["real"])
    if not parts:
        raise ValueError("real must hold images, got none")
    return RealFeatures(torch.cat(parts), digest.hex())


def _moved_features(images: Tensor, plan: Plan, device: torch.device | None) -> Tensor:
    return plan.features(plan.pixels.unit(images if device is None else images.to(device)))


def _key(batch: Batch, real: object) -> dict[str, Any]:
    """What identifies a batch, and what is asked of it besides the plan."""
    pixels = "".join(Digest.of(tensor) for tensor in (batch.y, batch.x, *tree_tensors(batch.cond)))
    return {"first": batch.first, "pixels": pixels, "paired": batch.paired, "real": real is None}


def _check(G: object, title: object, settings: object, projector: object, progress: object) -> None:
    if not callable(G):
        raise TypeError(f"G must be callable as G(y, z) or G(y), got {describe(G)}")
    if not isinstance(title, str):
        raise TypeError(f"title must be a string, got {describe(title)}")
    if not isinstance(settings, AuditSettings):
        raise TypeError(f"settings must be AuditSettings(...), got {describe(settings)}")
    if projector is not None:
        check_projector(projector)
    check_truth("progress", progress)


def _device_of(module: nn.Module | None) -> torch.device | None:
    """That of the module's first parameter."""
    return None if module is None else next((parameter.device for parameter in module.parameters()), None)


def _name_of(G: object) -> str:
    return getattr(G, "__name__", type(G).__name__)


def _shown(batches: Iterator[Batch], progress: bool, data: AuditData, rows: int) -> Iterator[Batch]:
    """The batches, behind a bar if one is wanted."""
    if not progress:
        return batches
    from tqdm import tqdm

    x = data[-1] if isinstance(data, tuple) and is_whole(data) else data
    n_batches = -(-len(x) // rows) if isinstance(x, Tensor) else getattr(x, "__len__", lambda: None)()
    return iter(tqdm(batches, desc="audit", unit="batch", total=n_batches))
