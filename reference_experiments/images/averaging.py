"""The running average of an estimator's weights; the paper has none, and none is the default."""

from __future__ import annotations

import copy

import torch

from stochrobust import Consistent


class Average:
    """``w <- decay w + (1 - decay) w_G`` after each step; with decay 0 it is the estimator itself.

    Attributes:
        module: what is to be evaluated.
    """

    def __init__(self, G: Consistent, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"ema must be in [0, 1), got {decay}")
        self.decay = decay
        self.module = copy.deepcopy(G).requires_grad_(False) if decay else G

    @torch.no_grad()
    def update(self, G: Consistent) -> None:
        """Move towards the weights of G; buffers are taken over."""
        if not self.decay:
            return
        for weight, current in zip(self.module.parameters(), G.parameters(), strict=True):
            weight.lerp_(current, 1 - self.decay)
        for buffer, value in zip(self.module.buffers(), G.buffers(), strict=True):
            buffer.copy_(value)
