"""How far outputs move when y moves inside a ball: Eq. 2 to 7, Eq. 9, and how much the search for it can be trusted."""

from stochrobust.robustness.decibels import adversarial_input_psnr, eps_from_psnr, psnr_from_eps, robustness_psnr
from stochrobust.robustness.evidence import AttackEvidence, attack_evidence
from stochrobust.robustness.law import W2Sensitivity, w2_sensitivity
from stochrobust.robustness.linearisation import LinearisedSensitivity, linearised_sensitivity
from stochrobust.robustness.outputs import Sensitivity, mean_sensitivity, same_seed_change, sensitivity

__all__ = [
    "AttackEvidence",
    "LinearisedSensitivity",
    "Sensitivity",
    "W2Sensitivity",
    "adversarial_input_psnr",
    "attack_evidence",
    "eps_from_psnr",
    "linearised_sensitivity",
    "mean_sensitivity",
    "psnr_from_eps",
    "robustness_psnr",
    "same_seed_change",
    "sensitivity",
    "w2_sensitivity",
]
