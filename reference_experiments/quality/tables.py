"""The table of the quality study."""

from __future__ import annotations

from reference_experiments import findings as found
from reference_experiments import markdown
from reference_experiments.spread import Spread
from reference_experiments.study import Results, stored_findings

TITLES = {
    "frechet": "Fréchet distance ↓",
    "kernel": "Kernel distance x 1000 ↓",
    "precision": "Precision ↑",
    "recall": "Recall ↑",
    "density": "Density ↑",
    "coverage": "Coverage ↑",
}
DIGITS = {"frechet": 1, "kernel": 2}


def tables(results: Results) -> str:
    """A line for each set, each number with its standard error."""
    record, protocol = results["record"], results["record"]["protocol"]
    settings = record["settings"]
    rows = [
        [name, *(Spread(row[key]["estimate"], row[key]["standard_error"]).text(DIGITS.get(key, 3)) for key in TITLES)]
        for name, row in results["rows"].items()
    ]
    return (
        f"{markdown.table(['', *TITLES.values()], rows)}\n\n"
        f"{settings['n']} real faces against {settings['n']} of each set; features: {protocol['extractor']}, SHA-256 "
        f"{protocol['weights'][:12]}, {protocol['preprocessing']}; k = {settings['k']}; ± one standard error. These "
        f"distances are not comparable with published FID.\n\n"
        f"{found.table(stored_findings(results))}\n\n`{record['command']}`, revision {record['revision']}, "
        f"{record['hardware']}, {record['seconds']} s."
    )
