"""Reports as an audit makes them, of made-up numbers and drawn pictures: what the page is tested with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from stochrobust.auditing.findings import AuditNumber, Curve, Example, Verdict
from stochrobust.auditing.report import AuditReport
from stochrobust.estimators.diagnosis import Concern

NASTY = "<script>alert(1)</script> & \"quotes\" 'single' {{ 7 * 7 }} {% raw %}"

ERRATIC = {
    "frechet": (0.183, 0.171, 0.196, 500), "precision": (0.77, 0.73, 0.81, 500), "recall": (0.731, 0.69, 0.77, 500),
    "density": (0.94, 0.88, 1.01, 500), "coverage": (0.88, 0.85, 0.91, 500),
    "consistency": (138.2, 137.9, 138.6, 500), "consistency_8bit": (58.9, 58.8, 59.0, 500),
    "std": (0.0061, 0.0058, 0.0064, 500),
    "psnr_sample": (12.31, 12.1, 12.5, 500), "psnr_mean": (12.34, 12.1, 12.6, 500),
    "spread_error": (0.0261, 0.0249, 0.0274, 500), "crps": (0.171, 0.166, 0.177, 500),
    "rank_deviation": (0.83, 0.81, 0.85, 500),
    "robustness_paper": (7.72, 7.2, 8.2, 64), "robustness_strong": (6.24, 5.9, 6.6, 64),
    "robustness_random": (24.1, 23.2, 25.0, 64), "ai_psnr_strong": (30.0, 30.0, 30.0, 64),
    "amplification": (15.3, 14.6, 16.1, 64), "change_over_spread": (53.0, 48.1, 58.4, 64),
    "change_over_error": (1.42, 1.33, 1.52, 64),
}  # fmt: skip
VERDICTS = (
    Verdict(
        "conditional mode collapse", "bad",
        "A perturbation of AI-PSNR 30.0 dB changes the output by 15 times its own length (robustness 6.2 dB, along "
        "random directions 24.1 dB), and the seeds spread over only 0.03 of the error: the outputs vary with the "
        "input's noise in place of the seed. Train with stochrobust.robustness_loss.",
    ),
    Verdict("underdispersed", "note", "The source lies outside all 16 outputs in 62 % of pixels."),
    Verdict("consistent", "good", "D(x_hat) is y to 138.2 dB, and to 58.9 dB after rounding to 8 bits."),
)  # fmt: skip
PROTOCOL: dict[str, Any] = {
    "eps": 0.253, "data_range": 1.0, "n_inputs": 500, "shape_y": [1, 8, 8], "shape_x": [1, 8, 8],
    "settings": {"n_seeds": 16, "n_attacked": 64, "attack_seeds": 8, "k": 5, "radii": [0.25, 0.5, 2.0], "level": 0.95},
    "attacks": {
        "paper": {"method": "AdamAscent", "steps": 5, "lr": 1.0, "keep": "last"},
        "strong": {"method": "BracketedAscent", "gradients": 60, "keep": "best", "restarts": None},
    },
    "projector": "InpaintingProjector(mask=…)", "features": "flattened pixels", "extractor": None,
    "weights": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "versions": {"stochrobust": "0.1.0", "torch": "2.13.0", "python": "3.11.9"}, "device": "cpu", "dtype": "float32",
}  # fmt: skip


def number(estimate: float, low: float | None = None, high: float | None = None, n: int = 64) -> AuditNumber:
    """A number; without ends, one that has no interval."""
    return AuditNumber(estimate, estimate if low is None else low, estimate if high is None else high, n)


def numbers(table: Mapping[str, tuple[float, float, float, int]] = ERRATIC) -> dict[str, AuditNumber]:
    return {name: AuditNumber(*row) for name, row in table.items()}


def smooth(generator: torch.Generator, channels: int, side: int, grain: int = 4) -> Tensor:
    """(channels, side, side) in [0, 1]: something with a shape to look at."""
    coarse = torch.rand(1, channels, grain, grain, generator=generator)
    image = interpolate(coarse, (side, side), mode="bicubic", align_corners=False)[0]
    return ((image - image.min()) / (image.max() - image.min())).clamp(0, 1)


def example(
    index: int, *, channels: int = 1, side: int = 8, scale: int = 1, stochastic: bool = True, attacked: bool = False
) -> Example:
    """Pictures of one input whose y is smaller than x by ``scale``, or of the same size with its upper part missing."""
    generator = torch.Generator().manual_seed(100 + index)
    x = smooth(generator, channels, side)
    if scale > 1:
        y = avg_pool2d(x, scale)
    else:
        y = x * (torch.arange(side) >= 3 * side // 4).float()[:, None]
    spread = 0.3 * smooth(generator, 1, side)
    n = 4 if stochastic else 1
    noise = interpolate(torch.randn(n, channels, side // 2, side // 2, generator=generator), (side, side))
    samples = x + spread * noise
    found = Example(
        number=index, y=y, x=x, samples=samples,
        mean=x if stochastic else None, std=spread.expand(channels, -1, -1) if stochastic else None,
    )  # fmt: skip
    if not attacked:
        return found
    delta = 0.03 * torch.randn(y.shape, generator=generator)
    changed = samples + 0.4 * (torch.rand(samples.shape, generator=generator) - 0.5) * smooth(generator, 1, side)
    return replace(
        found, y_attacked=y + delta, attacked=changed, clean=samples, robustness=6.2 + index / 10,
    )  # fmt: skip


def stochastic_report(
    title: str = "Digits, stochastic and erratic", channels: int = 1, side: int = 8, scale: int = 1
) -> AuditReport:
    """A stochastic estimator with every number, curve and picture."""
    levels = [36.0, 32.9, 30.0, 24.0]
    return AuditReport(
        title=title, stochastic=True, takes_seeds=True, numbers=numbers(),
        per_input={"std": (0.006,) * 500}, verdicts=VERDICTS, protocol=PROTOCOL,
        curve=Curve(
            eps=(0.13, 0.18, 0.253, 0.5), ai_psnr=tuple(levels),
            attacked=tuple(number(v, v - 0.5, v + 0.6) for v in (11.8, 8.6, 6.2, 5.1)),
            random=tuple(number(v, v - 0.9, v + 0.8) for v in (30.2, 27.1, 24.1, 17.8)),
        ),
        trace=tuple(1 - math.exp(-step / 7) * (1 - step / 60) * 0.96 for step in range(61)),
        ranks=(0.31, *(0.38 / 15,) * 15, 0.31),
        concerns=(Concern("The Fréchet distance is of 500 images in 64 dimensions: biased upwards by about 0.05."),),
        examples=tuple(example(i, channels=channels, side=side, scale=scale) for i in range(4)),
        worst=tuple(example(i, channels=channels, side=side, scale=scale, attacked=True) for i in (17, 3, 41, 8)),
    )  # fmt: skip


def deterministic_report(
    title: str = "Digits, deterministic and robust", channels: int = 1, side: int = 8, scale: int = 1
) -> AuditReport:
    """A deterministic estimator: no spread, no ranks, no seeds."""
    left_out = {"std", "spread_error", "rank_deviation", "change_over_spread", "psnr_mean"}
    full = stochastic_report(title, channels=channels, side=side, scale=scale)
    shape = partial(example, channels=channels, side=side, scale=scale, stochastic=False)
    return replace(
        full, stochastic=False, takes_seeds=False,
        numbers={name: value for name, value in full.numbers.items() if name not in left_out},
        per_input={}, ranks=(),
        verdicts=(Verdict("blurred", "note", "Robust because it averages: recall is 0.01."),),
        concerns=(),
        examples=tuple(shape(i) for i in range(4)),
        worst=tuple(shape(i, attacked=True) for i in (5, 9)),
    )  # fmt: skip


def bare_report(title: str = "") -> AuditReport:
    """An audit that measured next to nothing, with numbers that have no finite value."""
    infinite = AuditNumber(math.inf, math.inf, math.inf, 12, n_infinite=12)
    partly = AuditNumber(41.3, 40.0, 42.9, 12, n_infinite=5)
    lost = AuditNumber(math.nan, math.nan, math.nan, 12)
    return AuditReport(
        title=title, stochastic=False, takes_seeds=True,
        numbers={
            "frechet": lost, "consistency": infinite, "consistency_8bit": partly,
            "robustness_strong": number(-1.4, -2.0, -0.9),
        },
        per_input={}, curve=Curve((0.1, 0.2), (30.0, 24.0), (infinite, infinite), (infinite, infinite)),
        trace=(), ranks=(), verdicts=(), concerns=(), protocol={},
    )  # fmt: skip


def nasty_report() -> AuditReport:
    """Words that would break a page that did not escape them, and words that are too long for any phone."""
    full = stochastic_report(NASTY + " " + "Wortungetüm" * 12, channels=3, side=32, scale=4)
    return replace(
        full,
        verdicts=(Verdict("seed <b>ignored</b>", "bad", NASTY), *VERDICTS),
        concerns=(Concern(NASTY), Concern("a" * 300)),
        protocol={NASTY: NASTY, "nested": {"<i>key</i>": ["<b>", {"deep": "x" * 200}]}, "ids": list(range(500))},
    )  # fmt: skip
