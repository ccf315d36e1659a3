"""The gate's table: a line for each set of real images, the ruler's features beside raw pixels."""

from __future__ import annotations

from reference_experiments import findings as found
from reference_experiments import markdown
from reference_experiments.ruler.gate import MEASURES
from reference_experiments.spread import Spread
from reference_experiments.study import Results, stored_findings


def tables(results: Results) -> str:
    """Both rulers, what they say, and how it was made."""
    settings, record, classifier = results["settings"], results["record"], results["classifier"]
    right = ", ".join(f"{100 * share:.1f} % of the {part} images" for part, share in classifier["accuracy"].items())
    parts = []
    for name, rows in results["rows"].items():
        lines = [[of, *(Spread.of(row[m]).text() for m in MEASURES)] for of, row in rows.items()]
        protocol = results["protocols"][name]
        weights = f", SHA-256 {protocol['weights'][:12]} of its tensors" if protocol["weights"] else ""
        parts.append(f"### {protocol['extractor']}{weights}")
        parts.append(markdown.table(["real images", *(f"{m.capitalize()} ↑" for m in MEASURES)], lines))
    return "\n\n".join([
        *parts,
        f"{settings['n']} validation images against {settings['n']} training images; k = {settings['k']}; mean ± "
        f"standard deviation of {settings['n_draws']} draws of the images and of the order in which classes are "
        f"dropped. The classifier names {right} rightly; SHA-256 of its file {classifier['sha256']}.",
        found.table(stored_findings(results)),
        f"`{record['command']}`, revision {record['revision']}, {record['hardware']}, {record['seconds']} s.",
    ])  # fmt: skip
