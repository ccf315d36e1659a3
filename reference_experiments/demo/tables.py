"""Table 1 for the digits, in Markdown, and what it says of the paper's conclusions."""

from __future__ import annotations

from reference_experiments import findings as found
from reference_experiments import markdown
from reference_experiments.arms import ARMS
from reference_experiments.spread import Spread
from reference_experiments.study import Results, stored_findings

COLUMNS = {
    "frechet": ("Fréchet distance ↓", 2),
    "precision": ("Precision ↑", 2),
    "recall": ("Recall ↑", 2),
    "std": ("Per-pixel std", 3),
    "robustness_paper": ("Robustness, paper's attack (dB) ↑", 1),
    "robustness_evaluation": ("Robustness, stronger attack (dB) ↑", 1),
    "ai_psnr_paper": ("AI-PSNR (dB)", 1),
    "ai_psnr_evaluation": ("AI-PSNR, stronger (dB)", 1),
    "consistency": ("Consistency (dB)", 1),
}


NOTE = (
    "In italics: restorers in closed form, made consistent, and other real digits. The copy of the nearest training "
    "image jumps from one to another, which no attack by gradients sees."
)


def tables(results: Results) -> str:
    """The page."""
    n, compared = results["settings"]["n_training_seeds"], results["compared"]
    seeds = "One training seed" if n == 1 else f"Mean ± std of {n} training seeds"
    notes = f"{seeds}. Compared: {compared}. {NOTE if 'references' in results else ''}"
    parts = [table1(results), notes.strip(), found.table(stored_findings(results)), _made(results)]
    return "\n\n".join(parts)


def table1(results: Results) -> str:
    """A row for each model; the last one is what other real digits score."""
    rows = [
        [arm.name.capitalize(), *(Spread.of(results["arms"][arm.name][name]["values"]).text(digits)
                                  for name, (_, digits) in COLUMNS.items())]
        for arm in ARMS
    ]  # fmt: skip
    for title, row in references(results).items():
        cells = [Spread(row[name]).text(digits) if name in row else "" for name, (_, digits) in COLUMNS.items()]
        rows.append([f"*{title}*", *cells])
    return markdown.table(["", *(title for title, _ in COLUMNS.values())], rows)


def references(results: Results) -> dict[str, dict[str, float]]:
    """Rows to hold the models against."""
    return {**results.get("references", {}), "Training digits instead of outputs": results["training_digits"]}


def _made(results: Results) -> str:
    record = results["record"]
    return (
        f"Made by `{record['command']}` at revision {record['revision']} in {record['seconds']:.0f} s on "
        f"{record['hardware']}, torch {record['torch']}."
    )
