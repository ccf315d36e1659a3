"""Numbers that give a sensitivity its meaning: distortion, diversity, calibration, and the quality of sets."""

from stochrobust.metrics.calibration import crps, rank_histogram, spread_error
from stochrobust.metrics.components import PosteriorComponents, posterior_components
from stochrobust.metrics.conditional_frechet import conditional_frechet_distance
from stochrobust.metrics.coverage import CoverageTest, coverage_ranks, coverage_test
from stochrobust.metrics.distortion import PSNRSummary, psnr, summarize_psnr
from stochrobust.metrics.diversity import PerPixelStd, per_pixel_std
from stochrobust.metrics.efficientnet import EfficientNetLite0Features
from stochrobust.metrics.extractors import FeatureExtractor, ModuleFeatures, extract_features
from stochrobust.metrics.features import Features
from stochrobust.metrics.fidelity import TorchFidelityFeatures
from stochrobust.metrics.frechet import frechet_distance
from stochrobust.metrics.inception import InceptionFeatures
from stochrobust.metrics.intervals import Interval, interval_by_halves, interval_of_mean
from stochrobust.metrics.kernel import KernelDistance, kernel_distance
from stochrobust.metrics.linear import LinearReference, linear_reference
from stochrobust.metrics.manifolds import (
    PRDC,
    DensityCoverage,
    PrecisionRecall,
    density_coverage,
    prdc,
    precision_recall,
    realism,
)
from stochrobust.metrics.moments import FrechetStatistics
from stochrobust.metrics.protocol import Protocol, Score
from stochrobust.metrics.ratio import interval_of_ratio

__all__ = [
    "PRDC",
    "CoverageTest",
    "DensityCoverage",
    "EfficientNetLite0Features",
    "FeatureExtractor",
    "Features",
    "FrechetStatistics",
    "InceptionFeatures",
    "Interval",
    "KernelDistance",
    "LinearReference",
    "ModuleFeatures",
    "PSNRSummary",
    "PerPixelStd",
    "PosteriorComponents",
    "PrecisionRecall",
    "Protocol",
    "Score",
    "TorchFidelityFeatures",
    "conditional_frechet_distance",
    "coverage_ranks",
    "coverage_test",
    "crps",
    "density_coverage",
    "extract_features",
    "frechet_distance",
    "interval_by_halves",
    "interval_of_mean",
    "interval_of_ratio",
    "kernel_distance",
    "linear_reference",
    "per_pixel_std",
    "posterior_components",
    "prdc",
    "precision_recall",
    "psnr",
    "rank_histogram",
    "realism",
    "spread_error",
    "summarize_psnr",
]
