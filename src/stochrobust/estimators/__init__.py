"""Restorers ``G(y, z)``: where their seeds come from, how they are held, and how they are left.

Any callable is one: ``G(y, z)``, ``G(y, z, cond)``, ``G(y)`` or ``G(y, cond)``; the contract is in :mod:`.contract`.
"""

from stochrobust.estimators.black_box import BlackBox
from stochrobust.estimators.check import check_estimator
from stochrobust.estimators.contract import module_of, sampler_of
from stochrobust.estimators.diagnosis import AttackWarning
from stochrobust.estimators.hidden_noise import HiddenNoise
from stochrobust.estimators.jax_function import from_jax
from stochrobust.estimators.same_seed import SameSeed
from stochrobust.estimators.seeds import SampleKeys, draw_seeds

__all__ = [
    "AttackWarning",
    "BlackBox",
    "HiddenNoise",
    "SameSeed",
    "SampleKeys",
    "check_estimator",
    "draw_seeds",
    "from_jax",
    "module_of",
    "sampler_of",
]
