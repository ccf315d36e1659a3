"""The toy study's tables: the paper's numbers beside ours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reference_experiments import findings as found
from reference_experiments import markdown
from reference_experiments.spread import Spread
from reference_experiments.study import Results, stored_findings
from reference_experiments.toy.findings import PAPER

PAPER_SINE = {"1.0": (0.99, 0.01), "50.0": (0.98, 0.98)}
PAPER_ELLIPSES = {"X_1": (0.95, 0.71), "X_2": (0.77, 0.94)}


def spread(values: Iterable[float], digits: int = 3) -> str:
    """The mean over the training seeds, and their standard deviation where there are several."""
    return Spread.of(values).text(digits)


def trained(results: Results) -> list[str]:
    """The arms that were trained, in the paper's order."""
    return [arm for arm in PAPER if arm in results["gans"]]


def column(results: Results, arm: str, field: str, scale: float = 1.0) -> list[float]:
    """One number of every training seed of an arm."""
    return [scale * model[field] for model in results["gans"][arm]["models"]]


def tables(results: Results) -> str:
    """All tables, as Markdown."""
    parts = [_quality(results), _sensitivity(results), _ellipses(results), _zigzag(results), _size(results)]
    parts += ["### Conclusions", found.table(stored_findings(results)), _record(results)]
    return "\n\n".join([*parts[:5], _theorem(results), *parts[5:]])


def _quality(results: Results) -> str:
    rows = []
    for alpha, name in (("1.0", "X_Robust, alpha = 1"), ("50.0", "X_Erratic, alpha = 50")):
        printed, ours = PAPER_SINE[alpha], results["hand_made"][alpha]
        rows.append([name, f"{printed[0]:.2f} / {printed[1]:.2f}", *_draws(ours), 0])
    for arm in trained(results):
        numbers = [spread(column(results, arm, field)) for field in ("precision", "recall", "std")]
        rows.append([arm, f"{PAPER[arm]['precision']:.2f} / {PAPER[arm]['recall']:.3g}", *numbers])
    head = ("estimator", "paper P / R", "ours P", "ours R", "std of x_2 given y")
    return f"### Figure 2: precision and recall (k = 5, 1000 points, no features)\n\n{markdown.table(head, rows)}"


def _draws(ours: dict[str, float]) -> list[str]:
    return [f"{ours[name]:.3f} (draws ± {ours[name + '_sd']:.3f})" for name in ("precision", "recall")]


def _sensitivity(results: Results) -> str:
    head = ("estimator", "paper", "4-step attack", "strong attack", "Eq. 7, true", "Eq. 5, true", "Eq. 7 true / 4-step",
            "Eq. 7 true / strong")  # fmt: skip
    rows = [_gan(results, arm) for arm in trained(results)]
    for alpha in ("1.0", "50.0"):
        exact = f"{1e3 * results['hand_made'][alpha]['same_seed']:.3f}"
        rows.append([f"sine, alpha = {alpha}", "", "", "", exact, exact, "", ""])
    own, inputs = f"{1e3 * results['posterior_sensitivity']:.3f}", "10,000 inputs"
    if "exact" in results:
        drawn, turned = Spread(**results["exact"]["posterior_sensitivity"]), results["exact"]["rotated_seed"]
        own = f"{own} ({Spread(1e3 * drawn.mean, 1e3 * (drawn.spread or 0)).text()})"
        n, draws = results["exact"]["n_inputs"], results["exact"]["n_draws"]
        inputs += f" (and {n}, as many as the GANs have: {draws} draws)"
        rows.append(["exact sampler of N(0, I), its seed turned by 2 pi y (closed form)", "", "", "",
                     f"{1e3 * turned['same_seed']:.3f}", f"{1e3 * turned['w2']:.3f}", "", ""])  # fmt: skip
    rows.append([f"posterior sampler (closed form), {inputs}", "", "", "", "", own, "", ""])
    return (
        "### Table 3 and Appendix D: root of the sensitivity, in 1e-3, at eps = 1e-3 (lower is more robust)\n\n"
        "The columns after the paper's own: its 4-step attack; the library's strong attack; the true maximum of Eq. 7\n"
        "(exhaustive search); the true maximum of Eq. 5 (W2 by sorting), which Appendix D says is no larger; and how\n"
        f"many times the attacks' values, on the same inputs, the true maximum is.\n\n{markdown.table(head, rows)}"
    )


def _gan(results: Results, arm: str) -> list[Any]:
    fields = ("attack", "strong_on_few", "same_seed", "w2")
    given = results["gans"][arm]["models"][0].keys()
    cells = [spread(column(results, arm, field, 1e3)) if field in given else "" for field in fields]
    for field in ("attack_on_few", "strong_on_few"):
        models = results["gans"][arm]["models"] if field in given else []
        cells.append(spread(model["same_seed"] / model[field] for model in models) if models else "")
    return [arm, f"{1e3 * PAPER[arm]['attack']:g}", *cells]


def _ellipses(results: Results) -> str:
    rows = [
        [name, f"{paper[0]:.2f} / {paper[1]:.2f}", *_draws(results["ellipses"][name])]
        for name, paper in PAPER_ELLIPSES.items()
    ]
    table = markdown.table(("estimator", "paper P / R", "ours P", "ours R"), rows)
    return f"### Figure 4 (App. B.1): two ellipses, precision and recall\n\n{table}"


def _zigzag(results: Results) -> str:
    rows = [
        [entry["f"], *(f"{entry[name]:.5f}" for name in ("exact_cost", "transport_cost", "w2"))]
        for entry in results["zigzag"]
    ]
    rows.append(["two samples of the square", "0", "", f"{results['zigzag_floor']:.5f}"])
    table = markdown.table(("f", "1 / (24 f^2)", "cost of T_0, measured", "W2^2 of two samples"), rows)
    return f"### Figure 5 (App. C): the zigzag's distance to the square falls as it grows more erratic\n\n{table}"


def _size(results: Results) -> str:
    width = results["settings"]["base"]["width"]
    return (
        f"### Table 2: four hidden layers with ReLU\n\n{results['parameters']:,} parameters at the width of this run, "
        f"{width}; the published 512 gives 790,017."
    )


def _theorem(results: Results) -> str:
    """With the means of many draws where they are stored; one draw is no floor."""
    names = ("w2_to_data", "inconsistency", "w2_to_posterior")
    n = results["exact"]["n_draws"] if "exact" in results else 1
    drawn = results["exact"]["theorem_1"] if "exact" in results else results["theorem_1"]
    rows = [
        [row["estimator"], *((Spread(**row[name]) if n > 1 else Spread(row[name])).text(4) for name in names)]
        for row in drawn
    ]
    head = ("estimator", "W2^2 to p_X", "rms of D(x_hat) - y", "W2^2 to the posterior, mean over y")
    return (
        "### Theorem 1: only the posterior sampler is both perfect and consistent\n\n"
        f"{markdown.table(head, rows)}\n\nThe first row is the floor of finite samples, of {n} draws with their "
        "standard deviation: a distance is zero where its mean does not exceed that row's by two of its deviations."
    )


def _record(results: Results) -> str:
    record = results["record"]
    gans = {
        arm: f"{found['steps']:,} steps, {len(found['models'])} training seed(s), {found['seconds']:.0f} s"
        for arm, found in results["gans"].items()
    }
    missing = [arm for arm in PAPER if arm not in gans]
    return (f"Not trained at these settings: {', '.join(missing)}.\n\n" if missing else "") + (
        f"Made by `{record['command']}` at revision {record['revision']} in {record['seconds']:.0f} s on "
        f"{record['hardware']}, torch {record['torch']}, seed {record['seed']}. Training: "
        + "; ".join(f"{arm} {text}" for arm, text in gans.items())
        + ". ± is the standard deviation over training seeds."
    )
