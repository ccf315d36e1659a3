"""Metrics and a regularizer for robust stochastic image restoration."""

from stochrobust.ascent import EVALUATION, PAPER, PAPER_TOY, PGD, AdamAscent
from stochrobust.balls import L2, Linf
from stochrobust.consistency import (
    BlockAverageProjector,
    CEMProjector,
    ConsistencyPSNR,
    InpaintingProjector,
    LinearProjector,
    SeparableProjector,
    consistency_psnr,
)
from stochrobust.estimators import Consistent
from stochrobust.losses import RobustnessLoss, robustness_loss
from stochrobust.metrics.diversity import PerPixelStd, per_pixel_std
from stochrobust.metrics.precision_recall import PrecisionRecall, precision_recall
from stochrobust.metrics.psnr import (
    PSNRSummary,
    adversarial_input_psnr,
    eps_from_psnr,
    psnr,
    psnr_from_eps,
    robustness_psnr,
    summarize_psnr,
)
from stochrobust.seeds import SampleKeys
from stochrobust.sensitivity import Sensitivity, mean_sensitivity, same_seed_change, sensitivity
from stochrobust.transport import W2Sensitivity, w2_sensitivity
from stochrobust.wasserstein import gaussian_w2_squared, w2_distance, w2_squared

__version__ = "0.1.0"
__all__ = [
    "EVALUATION",
    "L2",
    "PAPER",
    "PAPER_TOY",
    "PGD",
    "AdamAscent",
    "BlockAverageProjector",
    "CEMProjector",
    "ConsistencyPSNR",
    "Consistent",
    "InpaintingProjector",
    "LinearProjector",
    "Linf",
    "PSNRSummary",
    "PerPixelStd",
    "PrecisionRecall",
    "RobustnessLoss",
    "SampleKeys",
    "Sensitivity",
    "SeparableProjector",
    "W2Sensitivity",
    "adversarial_input_psnr",
    "consistency_psnr",
    "eps_from_psnr",
    "gaussian_w2_squared",
    "mean_sensitivity",
    "per_pixel_std",
    "precision_recall",
    "psnr",
    "psnr_from_eps",
    "robustness_loss",
    "robustness_psnr",
    "same_seed_change",
    "sensitivity",
    "summarize_psnr",
    "w2_distance",
    "w2_sensitivity",
    "w2_squared",
]
