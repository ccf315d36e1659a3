"""The GAN objective of all studies: non-saturating losses and the R1 penalty (sections 6.1, E.1 and E.2.2)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus


def estimator_loss(logits: Tensor) -> Tensor:
    """``mean softplus(-C(x_hat))``, the non-saturating loss of the estimator."""
    return softplus(-logits).mean()


def critic_loss(real_logits: Tensor, generated_logits: Tensor) -> Tensor:
    """``mean softplus(-C(x)) + mean softplus(C(x_hat))``."""
    return softplus(-real_logits).mean() + softplus(generated_logits).mean()


def r1_penalty(critic: Callable[[Tensor], Tensor], real: Tensor) -> tuple[Tensor, Tensor]:
    """``mean ||dC/dx||^2`` on real samples, without a factor 1/2, and the logits it came from."""
    real = real.detach().requires_grad_()
    logits = critic(real)
    (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean(), logits
