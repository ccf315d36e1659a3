"""The Wasserstein-2 distance between sets of outputs: exactly, for Gaussians, in one dimension, between bounds."""

from stochrobust.transport.bounds import W2Bracket, w2_bracket
from stochrobust.transport.w2 import gaussian_w2_squared, sliced_w2_squared, w2_distance, w2_squared

__all__ = [
    "W2Bracket",
    "gaussian_w2_squared",
    "sliced_w2_squared",
    "w2_bracket",
    "w2_distance",
    "w2_squared",
]
