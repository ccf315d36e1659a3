"""Terms for a training loop: Eq. 7, and other regularizers one might weigh against it, in the same call shape."""

from stochrobust.losses.diversity import diversity_sensitive_loss, mode_seeking_loss, std_reward_loss
from stochrobust.losses.jacobian import jacobian_penalty, spectral_penalty
from stochrobust.losses.record import LossRecord
from stochrobust.losses.robustness import RobustnessLoss, robustness_loss
from stochrobust.losses.target import RobustnessTarget

__all__ = [
    "LossRecord",
    "RobustnessLoss",
    "RobustnessTarget",
    "diversity_sensitive_loss",
    "jacobian_penalty",
    "mode_seeking_loss",
    "robustness_loss",
    "spectral_penalty",
    "std_reward_loss",
]
