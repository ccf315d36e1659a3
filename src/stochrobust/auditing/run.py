"""The audit itself: one pass over the data, a report at the end."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from stochrobust._arguments import check_count, check_real, describe
from stochrobust._files import Digest
from stochrobust.auditing.cache import Store
from stochrobust.auditing.data import AT_ONCE, AuditData, Batch, is_whole, read, read_images
from stochrobust.auditing.measure import ATTACKS, Measured, kept, measure
from stochrobust.auditing.plan import Plan
from stochrobust.auditing.quality import pixel_features
from stochrobust.auditing.report import AuditReport
from stochrobust.auditing.settings import AuditSettings
from stochrobust.auditing.totals import RealFeatures, Totals
from stochrobust.consistency.projector import Projector
from stochrobust.estimators.contract import Estimator, module_of
from stochrobust.estimators.left_as_found import autograd_possible
from stochrobust.estimators.seeds import SampleZ
from stochrobust.metrics.extractors import FeatureExtractor


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
    title: str = "",
    settings: AuditSettings = AuditSettings(),  # noqa: B008 (a frozen value)
    cache: str | os.PathLike[str] | None = None,
    max_batch: int | None = None,
    progress: bool = False,
) -> AuditReport:
    """Measure all there is to say about a restorer, in one pass over (y, x): the numbers, and what they mean in words.

    Quality (Frechet distance, precision, recall, density, coverage), consistency, diversity, distortion, calibration,
    and robustness (Eq. 9) under the paper's attack and a strong one, beside the baseline of a random direction; each
    with an interval. Quality and distortion are of outputs clamped to [0, 1], all else of outputs as they are.

    Random numbers belong to the number of an input in the data, so that results do not depend on the batches (rounding
    apart; noise that G draws inside is that of a batch). G is used in the mode it is in, and left as it was found.

    Args:
        G: the estimator, ``G(y, z)`` or ``G(y)``, deterministic or not, see :mod:`stochrobust.estimators`; whether two
            seeds give different outputs is found out.
        data: (N, C, H, W) sources x in [0, 1], then ``y = projector.D(x)``; a pair ``(y, x)`` of tensors; or an
            iterable of batches, each an x or a ``(y, x)``. Read once. y may be of any shape, batch first.
        eps: radius of the attacks, L2 over all elements of one y, absolute, above 0; see
            :func:`~stochrobust.eps_from_psnr`.
        projector: of the degradation, for the consistency; needed where the data are x alone.
        real: images in [0, 1] that quality is measured against, a tensor or batches; None: the x of the data.
        extractor: of the features that quality is measured on; None: the pixels themselves, which do for small images
            only. Grey images are given to one of three channels as three equal ones.
        sample_z: ``sample_z(y, generator) -> z``, where G has no such method.
        module: the module to leave as it was, and identified by its weights, where G is a closure over it.
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
        ValueError: naming the argument: no data, x and y that do not fit, x outside [0, 1], no projector and no y, an
            output of G that is not finite (naming the input) or has not the shape of x.
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
    check_real("eps", eps, minimum=0.0, open_minimum=True)
    rows = None if max_batch is None else check_count("max_batch", max_batch)
    store, device = Store(cache), _device_of(module or module_of(G))
    with torch.no_grad(), autograd_possible():
        batches = read(data, projector, rows, device)
        first = next(batches)
        plan = Plan(
            G, float(eps), extractor or pixel_features(first.x.shape[1]), settings,
            rows or (AT_ONCE if is_whole(data) else len(first)), projector, sample_z, module,
        )  # fmt: skip
        plan = replace(plan, stochastic=plan.is_stochastic(first))
        totals, identity = Totals(plan, first), plan.identity(first) if cache is not None else {}
        for batch in _shown(itertools.chain([first], batches), progress, data, plan.max_batch):
            key = identity | _key(batch, real)
            found = store.recall(key, lambda: measure(plan, batch, real_features=real is None))  # noqa: B023 (called at once)
            totals.add(batch, found)
        reals = None if real is None else _features_of(real, plan, store, identity, rows, device)
        return totals.report(title or _name_of(G), reals)


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
    for batch in read_images("real", images, rows):
        digest.update(batch)
        measured = store.recall(
            {"real": Digest.of(batch)} | of_extractor,
            lambda: Measured({"real": kept(_moved_features(batch, plan, device))}),  # noqa: B023 (called at once)
        )
        parts.append(measured.numbers["real"])
    return RealFeatures(torch.cat(parts), digest.hex())


def _moved_features(images: Tensor, plan: Plan, device: torch.device | None) -> Tensor:
    return plan.features(images if device is None else images.to(device))


def _key(batch: Batch, real: object) -> dict[str, Any]:
    """What identifies a batch, and what is asked of it besides the plan."""
    pixels, attacks = Digest.of(batch.y) + Digest.of(batch.x), {name: repr(attack) for name, attack in ATTACKS.items()}
    return {"first": batch.first, "pixels": pixels, "attacks": attacks, "real": real is None}


def _check(G: object, title: object, settings: object, projector: object, progress: object) -> None:
    if not callable(G):
        raise TypeError(f"G must be callable as G(y, z) or G(y), got {describe(G)}")
    if not isinstance(title, str):
        raise TypeError(f"title must be a string, got {describe(title)}")
    if not isinstance(settings, AuditSettings):
        raise TypeError(f"settings must be AuditSettings(...), got {describe(settings)}")
    if not (projector is None or isinstance(projector, Projector)):
        raise TypeError(f"projector must have D, pinv, residual and project, got {describe(projector)}")
    if not isinstance(progress, bool):
        raise TypeError(f"progress must be True or False, got {describe(progress)}")


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
