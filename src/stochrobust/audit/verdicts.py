"""What the numbers of an audit say, in words."""

from __future__ import annotations

from collections.abc import Mapping

from stochrobust.audit.findings import AuditNumber, Verdict


def judge(
    numbers: Mapping[str, AuditNumber],  # noqa: ARG001
    *,
    stochastic: bool,
    takes_seeds: bool,
    concerns: tuple[str, ...] = (),  # noqa: ARG001
    projector_residual_psnr: float | None = None,  # noqa: ARG001
) -> tuple[Verdict, ...]:
    """The verdicts; a stand-in until they are written."""
    if takes_seeds and not stochastic:
        return (Verdict("seed ignored", "bad", "G is given seeds, and every seed gives the same output."),)
    return ()
