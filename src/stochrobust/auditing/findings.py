"""What an audit found: numbers with intervals, curves and pictures, and what they mean in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from stochrobust.estimators.diagnosis import Concern

Level = Literal["good", "note", "bad"]


@dataclass(frozen=True)
class AuditNumber:
    """A number and where its expectation over inputs is likely to lie.

    Attributes:
        estimate: the number; a mean over inputs leaves infinite ones out.
        low, high: ends of its interval; equal to ``estimate`` where it has none.
        n: inputs, or images, those with an infinite number included.
        n_infinite: inputs left out, since theirs is infinite (the PSNR of equal images).
    """

    estimate: float
    low: float
    high: float
    n: int
    n_infinite: int = 0


@dataclass(frozen=True)
class Verdict:
    """One thing the numbers say.

    Attributes:
        name: a short fixed name, such as "conditional mode collapse"; see :mod:`stochrobust.auditing.verdicts`.
        level: "good", "note" or "bad".
        sentence: what was found, with the figures it rests on, and what to do about it.
    """

    name: str
    level: Level
    sentence: str


@dataclass(frozen=True)
class Curve:
    """Robustness over the size of the attack: one entry per radius, ascending.

    Attributes:
        eps: radii, in units of y.
        ai_psnr: PSNR of y and y + delta for a delta of that length, in dB.
        attacked, random: robustness (Eq. 9) in dB under the strong attack, and along random directions.
    """

    eps: tuple[float, ...]
    ai_psnr: tuple[float, ...]
    attacked: tuple[AuditNumber, ...]
    random: tuple[AuditNumber, ...]


@dataclass(frozen=True)
class Example:
    """Pictures of one input, on the CPU, (C, H, W) as they are (not clamped); ``y`` may have another size than x.

    Attributes:
        number: of the input in the data.
        y, x: input and source.
        samples: (S, C, H, W), a few outputs at y; one of a deterministic estimator.
        mean, std: (C, H, W) over all the seeds that were drawn; None for a deterministic estimator.
        y_attacked: y + delta of the strong attack; None where it was not attacked.
        attacked: (S, C, H, W), outputs at y_attacked with the same seeds as ``clean``.
        clean: (S, C, H, W), outputs at y with those seeds.
        robustness: Eq. 9 of this input, in dB.
    """

    number: int
    y: Tensor
    x: Tensor
    samples: Tensor
    mean: Tensor | None = None
    std: Tensor | None = None
    y_attacked: Tensor | None = None
    attacked: Tensor | None = None
    clean: Tensor | None = None
    robustness: float | None = None


@dataclass(frozen=True)
class Findings:
    """What :func:`stochrobust.audit` found: the data of an :class:`~stochrobust.AuditReport`.

    Attributes:
        title: of the estimator.
        stochastic: whether two seeds gave different outputs.
        takes_seeds: whether it was given seeds ``z``.
        numbers: by the names of :data:`NUMBERS`; one that was not measured is absent.
        per_input: of the numbers over inputs, the value of each, in order, whose mean (of the finite ones) is the
            number; what ``compare`` pairs. Of a ratio of means (``spread_error``, ``amplification``, ...) they are that
            ratio plus each input's first-order share in it.
        curve: robustness over the size of the attack.
        trace: the squared change found by the strong attack before each gradient and at the end, best so far, as a
            share of what it ended with; mean over inputs.
        ranks: share of pixels whose source has 0, 1, ..., S of the S outputs below it; empty if deterministic.
        verdicts: in order of weight.
        concerns: the library's doubts about single numbers: sentences, each with a ``code``.
        protocol: all that the numbers depend on, JSON-ready.
        examples: pictures of the first inputs; not part of the JSON.
        worst: pictures of the inputs that the strong attack moved most; not part of the JSON.
    """

    title: str
    stochastic: bool
    takes_seeds: bool
    numbers: dict[str, AuditNumber]
    per_input: dict[str, tuple[float, ...]]
    curve: Curve
    trace: tuple[float, ...]
    ranks: tuple[float, ...]
    verdicts: tuple[Verdict, ...]
    concerns: tuple[Concern, ...]
    protocol: dict[str, Any]
    examples: tuple[Example, ...] = field(default=(), repr=False)
    worst: tuple[Example, ...] = field(default=(), repr=False)
