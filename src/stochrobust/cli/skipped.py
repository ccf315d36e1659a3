"""Pictures that could not be read and were left out, told in the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from stochrobust.auditing.report import AuditReport
from stochrobust.estimators.diagnosis import Concern

SHOWN = 5
"""Names in the sentence; all of them are in the protocol."""


def without(report: AuditReport, left_out: Mapping[str, str]) -> AuditReport:
    """The report, with a doubt that counts what was left out, and all names with their reasons in its protocol."""
    if not left_out:
        return report
    some = "; ".join(f"{name}: {reason}" for name, reason in list(left_out.items())[:SHOWN])
    more = f"; and {len(left_out) - SHOWN} more, named in the protocol" if len(left_out) > SHOWN else ""
    sentence = f"{len(left_out)} picture(s) could not be read, and were left out: {some}{more}"
    concern = Concern(sentence, "pictures left out")
    return replace(
        report, concerns=(*report.concerns, concern), protocol=report.protocol | {"left_out": dict(left_out)}
    )
