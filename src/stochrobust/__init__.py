"""Metrics and a regularizer for robust stochastic image restoration."""

from stochrobust.alternatives.diversity import diversity_sensitive_loss, mode_seeking_loss, std_reward_loss
from stochrobust.alternatives.jacobian import jacobian_penalty, spectral_penalty
from stochrobust.attacks import EVALUATION, IFGSM, PAPER, PAPER_TOY, PGD, TRAINING, AdamAscent, SphereAscent
from stochrobust.audit.comparison import Comparison, compare
from stochrobust.audit.findings import AuditNumber, Verdict
from stochrobust.audit.report import AuditReport
from stochrobust.audit.run import audit
from stochrobust.audit.settings import AuditSettings
from stochrobust.balls import L2, Linf
from stochrobust.bracket import W2Bracket, w2_bracket
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
from stochrobust.evidence import AttackEvidence, attack_evidence
from stochrobust.hidden_noise import HiddenNoise
from stochrobust.linearised import LinearisedSensitivity, linearised_sensitivity
from stochrobust.losses import RobustnessLoss, robustness_loss
from stochrobust.measurement import AttackWarning
from stochrobust.metrics.calibration import crps, rank_histogram, spread_error
from stochrobust.metrics.density_coverage import DensityCoverage, density_coverage
from stochrobust.metrics.diversity import PerPixelStd, per_pixel_std
from stochrobust.metrics.efficientnet import EfficientNetLite0Features
from stochrobust.metrics.extractors import FeatureExtractor, ModuleFeatures, extract_features
from stochrobust.metrics.features import Features
from stochrobust.metrics.frechet import frechet_distance
from stochrobust.metrics.inception import InceptionFeatures
from stochrobust.metrics.intervals import Interval, interval_by_halves, interval_of_mean
from stochrobust.metrics.kernel_distance import KernelDistance, kernel_distance
from stochrobust.metrics.moments import FrechetStatistics
from stochrobust.metrics.prdc import PRDC, prdc
from stochrobust.metrics.precision_recall import PrecisionRecall, precision_recall
from stochrobust.metrics.protocol import Protocol, Score
from stochrobust.metrics.psnr import (
    PSNRSummary,
    adversarial_input_psnr,
    eps_from_psnr,
    psnr,
    psnr_from_eps,
    robustness_psnr,
    summarize_psnr,
)
from stochrobust.metrics.realism import realism
from stochrobust.searches import DenseSearch, RandomSearch
from stochrobust.seeds import SampleKeys
from stochrobust.sensitivity import Sensitivity, mean_sensitivity, same_seed_change, sensitivity
from stochrobust.transport import W2Sensitivity, w2_sensitivity
from stochrobust.wasserstein import gaussian_w2_squared, sliced_w2_squared, w2_distance, w2_squared

__version__ = "0.1.0"
__all__ = [
    "EVALUATION",
    "IFGSM",
    "L2",
    "PAPER",
    "PAPER_TOY",
    "PGD",
    "PRDC",
    "TRAINING",
    "AdamAscent",
    "AttackEvidence",
    "AttackWarning",
    "AuditNumber",
    "AuditReport",
    "AuditSettings",
    "BlockAverageProjector",
    "CEMProjector",
    "Comparison",
    "ConsistencyPSNR",
    "Consistent",
    "DenseSearch",
    "DensityCoverage",
    "EfficientNetLite0Features",
    "FeatureExtractor",
    "Features",
    "FrechetStatistics",
    "HiddenNoise",
    "InceptionFeatures",
    "InpaintingProjector",
    "Interval",
    "KernelDistance",
    "LinearProjector",
    "LinearisedSensitivity",
    "Linf",
    "ModuleFeatures",
    "PSNRSummary",
    "PerPixelStd",
    "PrecisionRecall",
    "Protocol",
    "RandomSearch",
    "RobustnessLoss",
    "SampleKeys",
    "Score",
    "Sensitivity",
    "SeparableProjector",
    "SphereAscent",
    "Verdict",
    "W2Bracket",
    "W2Sensitivity",
    "adversarial_input_psnr",
    "attack_evidence",
    "audit",
    "compare",
    "consistency_psnr",
    "crps",
    "density_coverage",
    "diversity_sensitive_loss",
    "eps_from_psnr",
    "extract_features",
    "frechet_distance",
    "gaussian_w2_squared",
    "interval_by_halves",
    "interval_of_mean",
    "jacobian_penalty",
    "kernel_distance",
    "linearised_sensitivity",
    "mean_sensitivity",
    "mode_seeking_loss",
    "per_pixel_std",
    "prdc",
    "precision_recall",
    "psnr",
    "psnr_from_eps",
    "rank_histogram",
    "realism",
    "robustness_loss",
    "robustness_psnr",
    "same_seed_change",
    "sensitivity",
    "sliced_w2_squared",
    "spectral_penalty",
    "spread_error",
    "std_reward_loss",
    "summarize_psnr",
    "w2_bracket",
    "w2_distance",
    "w2_sensitivity",
    "w2_squared",
]
