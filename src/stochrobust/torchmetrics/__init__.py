"""The library's numbers as torchmetrics classes: ``update``, ``compute``, ``reset``, ``merge_state``, ``plot``.

They need the extra ``stochrobust[torchmetrics]``, go together in a ``MetricCollection``, and give what one process
would where several have unequal shares of the data, or none.
"""

from stochrobust.torchmetrics.per_sample import (
    AdversarialInputPSNR,
    ConsistencyPSNR,
    PerPixelStd,
    RobustnessPSNR,
    Sensitivity,
)
from stochrobust.torchmetrics.sets import (
    Coverage,
    Density,
    FrechetDistance,
    Precision,
    PrecisionRecallDensityCoverage,
    Recall,
)

__all__ = [
    "AdversarialInputPSNR",
    "ConsistencyPSNR",
    "Coverage",
    "Density",
    "FrechetDistance",
    "PerPixelStd",
    "Precision",
    "PrecisionRecallDensityCoverage",
    "Recall",
    "RobustnessPSNR",
    "Sensitivity",
]
