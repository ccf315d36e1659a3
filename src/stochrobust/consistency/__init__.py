"""Projectors that make a restoration consistent with its input, and scores of how consistent it is."""

from stochrobust.consistency.block_average import BlockAverageProjector
from stochrobust.consistency.cem import CEMProjector
from stochrobust.consistency.estimator import Consistent
from stochrobust.consistency.inpainting import InpaintingProjector
from stochrobust.consistency.linear import LinearProjector, SeparableProjector
from stochrobust.consistency.noise import noise_consistency
from stochrobust.consistency.operator import OperatorProjector
from stochrobust.consistency.projector import Projector
from stochrobust.consistency.score import ConsistencyPSNR, consistency_psnr

__all__ = [
    "BlockAverageProjector",
    "CEMProjector",
    "ConsistencyPSNR",
    "Consistent",
    "InpaintingProjector",
    "LinearProjector",
    "OperatorProjector",
    "Projector",
    "SeparableProjector",
    "consistency_psnr",
    "noise_consistency",
]
