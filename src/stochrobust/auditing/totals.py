"""What an audit has found so far, batch after batch, and the report that is made of it."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from stochrobust._files import Digest
from stochrobust.auditing.data import Batch
from stochrobust.auditing.findings import AuditNumber, Curve, Example, Verdict
from stochrobust.auditing.law import Outputs, law_numbers
from stochrobust.auditing.measure import Measured
from stochrobust.auditing.numbers import NUMBERS, over_inputs
from stochrobust.auditing.plan import Plan
from stochrobust.auditing.quality import quality, shortfall
from stochrobust.auditing.report import AuditReport
from stochrobust.auditing.steepness import Pairs, steepness
from stochrobust.auditing.verdicts import judge
from stochrobust.estimators.diagnosis import Concern
from stochrobust.robustness.decibels import psnr_from_eps

CONVENTIONS = (
    "Quality and distortion are of outputs clamped to [0, 1]; ranks of outputs and sources as 8 bits store them; all "
    "else of outputs as they are. Quality, consistency and psnr_sample are of the first output of each input. "
    "Robustness is on seeds that did not choose the attack."
)


@dataclass(frozen=True, eq=False)
class RealFeatures:
    """Features (n, d) of the images that quality is measured against, and SHA-256 of their pixels."""

    features: Tensor
    digest: str


class Totals:
    """The numbers of all inputs so far. What grows with the data is features and numbers.

    Args:
        plan: by which they were measured.
        first: the first batch.
        doubts: what was found before anything was measured.
    """

    def __init__(self, plan: Plan, first: Batch, doubts: Iterable[Concern] = ()) -> None:
        self.plan, self.like = plan, first
        self.digests = {"x": Digest(), "y": Digest()}
        self.pairs = Pairs()
        self.parts: dict[str, list[Tensor]] = {}
        self.concerns: list[Concern] = list(doubts)
        self.first: list[Example] = []
        self.moved: list[tuple[float, Example]] = []

    def add(self, batch: Batch, measured: Measured) -> None:
        """Take in a batch, the next one."""
        self.digests["x"].update(batch.x)
        self.digests["y"].update(batch.y)
        self.pairs.add(batch.y, batch.x)
        for name, values in measured.numbers.items():
            self.parts.setdefault(name, []).append(values)
        self.concerns += measured.concerns
        self.first += measured.pictures.first
        found = sorted([*self.moved, *measured.pictures.moved], key=lambda pair: -pair[0])
        self.moved = found[: self.plan.settings.n_examples]

    def report(self, title: str, reals: RealFeatures | None) -> AuditReport:
        """The report of all that was added.

        Args:
            title: of the report.
            reals: what quality is measured against; None: the sources.
        """
        plan, level = self.plan, self.plan.settings.level
        of_inputs = {name: torch.cat(parts) for name, parts in self.parts.items()}
        real = of_inputs["real"] if reals is None else reals.features
        numbers, doubt = quality(real, of_inputs["features"], plan.extractor.protocol, plan.settings)
        found = {name: info.made(of_inputs) for name, info in NUMBERS.items() if info.made is not None}
        values = {name: of_number for name, of_number in found.items() if of_number is not None}
        numbers |= {name: over_inputs(of_number, level) for name, of_number in values.items()}
        numbers |= self._whole_set(of_inputs, real)
        concerns = without_repeats([*self.concerns, *filter(None, [doubt])])
        return AuditReport(
            title=title,
            stochastic=plan.stochastic,
            takes_seeds=plan.takes_seeds,
            numbers=numbers,
            per_input={name: tuple(of_number.double().tolist()) for name, of_number in values.items()},
            curve=_curve(of_inputs, plan, self.like.y[0].numel()),
            trace=_mean_trace(of_inputs["trace"]),
            ranks=tuple(of_inputs["ranks"].double().mean(0).tolist()) if plan.stochastic else (),
            verdicts=self._verdicts(numbers, of_inputs, concerns),
            concerns=concerns,
            protocol=self._protocol(of_inputs, None if reals is None else reals.digest, len(real)),
            examples=tuple(self.first),
            worst=tuple(example for _, example in self.moved),
        )

    def _whole_set(self, of_inputs: dict[str, Tensor], real: Tensor) -> dict[str, AuditNumber]:
        """What is no mean over inputs: the law of the outputs, and what is to be expected of any restorer."""
        settings = self.plan.settings
        return (
            shortfall(real, of_inputs["features"], settings)
            | law_numbers(Outputs.of(of_inputs, settings.seed), settings.level)
            | steepness(of_inputs, self.pairs, settings.level)
        )

    def _verdicts(
        self, numbers: dict[str, AuditNumber], of_inputs: dict[str, Tensor], concerns: tuple[Concern, ...]
    ) -> tuple[Verdict, ...]:
        alone = of_inputs.get("projector")
        return judge(
            numbers,
            stochastic=self.plan.stochastic,
            takes_seeds=self.plan.takes_seeds,
            concerns=concerns,
            projector_residual_psnr=None if alone is None else float(alone.min()),
        )

    def _protocol(self, of_inputs: dict[str, Tensor], real: str | None, n_real: int) -> dict[str, Any]:
        """All that the numbers depend on, JSON-ready."""
        from stochrobust import __version__

        plan, like, settings = self.plan, self.like, asdict(self.plan.settings)
        features = asdict(plan.extractor.protocol)
        return {
            "data": {
                "n": len(of_inputs["error"]),
                "sha256": {name: digest.hex() for name, digest in self.digests.items()},
                "shape": {"x": list(like.x.shape[1:]), "y": list(like.y.shape[1:])},
                "dtype": str(like.y.dtype).removeprefix("torch."),
                "data_range": [plan.pixels.low, plan.pixels.high],
            },
            "real": {"n": n_real, "sha256": self.digests["x"].hex() if real is None else real},
            "features": {name: list(value) if isinstance(value, tuple) else value for name, value in features.items()},
            "settings": settings | {"radii": list(plan.settings.radii)},
            "eps": plan.eps,
            "eps_psnr": psnr_from_eps(plan.eps, like.y[0].numel(), data_range=plan.pixels.width),
            "attacks": {name: repr(attack) for name, attack in plan.attacks.items()} | {"ball": plan.described_ball()},
            "projector": None if plan.projector is None else type(plan.projector).__name__,
            **({} if plan.noise is None else {"noise": plan.described_noise(like)}),
            "conventions": CONVENTIONS,
            "estimator": {
                "weights": plan.weights,
                "n_seeds": plan.n_seeds,
                "attack_seeds": plan.attack_seeds,
                "n_attacked": len(of_inputs["change"]),
                "max_batch": plan.max_batch,
            },
            "software": {
                "stochrobust": __version__,
                "torch": str(torch.__version__),
                "python": platform.python_version(),
            },
            "device": str(like.y.device),
        }


def _curve(of_inputs: dict[str, Tensor], plan: Plan, n_elements: int) -> Curve:
    """Robustness over the size of the attack; ``n_elements`` are those of one y."""
    radii, level = plan.settings.all_radii, plan.settings.level
    eps = tuple(radius * plan.eps for radius in radii)
    return Curve(
        eps=eps,
        ai_psnr=tuple(psnr_from_eps(length, n_elements, data_range=plan.pixels.width) for length in eps),
        attacked=tuple(over_inputs(of_inputs[f"robustness_strong {radius}"], level) for radius in radii),
        random=tuple(over_inputs(of_inputs[f"robustness_random {radius}"], level) for radius in radii),
    )


def _mean_trace(traces: Tensor) -> tuple[float, ...]:
    """The mean of (n, steps + 1) shares over inputs where the attack found something; empty if it never did."""
    found = traces[traces.isfinite().all(1)]
    return tuple(found.double().mean(0).tolist()) if len(found) else ()


def without_repeats(concerns: Iterable[Concern]) -> tuple[Concern, ...]:
    """The first concern of each code."""
    kinds: dict[str, Concern] = {}
    for concern in concerns:
        kinds.setdefault(concern.code or concern, concern)
    return tuple(kinds.values())
