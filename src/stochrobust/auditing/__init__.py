"""The audit: one pass over an estimator and its data, every number with an interval, and what they say in words."""

from stochrobust.auditing.comparison import Comparison, compare
from stochrobust.auditing.findings import AuditNumber, Verdict
from stochrobust.auditing.report import AuditReport
from stochrobust.auditing.run import audit
from stochrobust.auditing.settings import AuditSettings

__all__ = [
    "AuditNumber",
    "AuditReport",
    "AuditSettings",
    "Comparison",
    "Verdict",
    "audit",
    "compare",
]
