"""What is measured of each input's outputs: spread, distortion, calibration, consistency, and features."""

from __future__ import annotations

import torch
from torch import Tensor

from stochrobust.audit.inputs import Batch
from stochrobust.audit.plan import Plan
from stochrobust.audit.quality import feature_rows
from stochrobust.consistency.score import as_8_bit, consistency_psnr
from stochrobust.metrics.calibration import crps, rank_histogram, squared_spread_and_error
from stochrobust.metrics.diversity import per_pixel_std
from stochrobust.metrics.psnr import psnr

Numbers = dict[str, Tensor]
"""Of each input, (B, ...)."""


@torch.no_grad()
def of_outputs(plan: Plan, batch: Batch, *, real_features: bool) -> Numbers:
    """Numbers of the outputs at y, group after group of inputs, none of which is kept.

    Args:
        plan: what to measure.
        batch: the inputs.
        real_features: whether those of x are wanted too.

    Returns:
        Those named in :data:`stochrobust.audit.findings.NUMBERS`; ``spread`` and ``error``, squared, per pixel;
        ``ranks`` (B, S + 1); ``features`` of the first output, and ``real``.
    """
    groups = plan.groups(batch, plan.n_seeds)
    parts = [_of_group(plan, group) for group in groups]
    numbers = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    if real_features:
        numbers["real"] = feature_rows(batch.x, plan.extractor, plan.max_batch)
    return numbers


def _of_group(plan: Plan, group: Batch) -> Numbers:
    n_seeds, keys = plan.n_seeds, plan.keys(group)
    outputs = plan.checked(plan.held(group, n_seeds).outputs(), group, n_seeds)
    x, image = group.x.to(outputs.dtype), outputs[::n_seeds].clamp(0, 1)
    mean = outputs.clamp(0, 1).unflatten(0, (-1, n_seeds)).mean(1)
    moments = squared_spread_and_error(outputs, x, n_seeds)
    numbers = {
        "psnr_sample": psnr(image, x),
        "psnr_mean": psnr(mean, x),
        "crps": crps(outputs, x, n_seeds),
        "error": moments.error,
        "features": feature_rows(image, plan.extractor, plan.max_batch),
    }
    if plan.stochastic:
        ranks = rank_histogram(as_8_bit(outputs, 1.0), as_8_bit(x, 1.0), n_seeds, generator=keys)
        numbers |= {"std": per_pixel_std(outputs, n_seeds), "spread": moments.spread, "ranks": ranks}
    if plan.projector is not None:
        found = consistency_psnr(outputs[::n_seeds], group.y, plan.projector)
        alone = consistency_psnr(plan.projected(group), group.y, plan.projector)
        numbers |= {"consistency": found.raw, "consistency_8bit": found.rounded, "projector": alone.raw}
    return numbers
