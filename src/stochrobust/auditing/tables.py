"""The findings of an audit as JSON and as Markdown."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict
from typing import Any

from stochrobust.auditing.findings import AuditNumber, Findings
from stochrobust.auditing.numbers import GROUPS, NumberInfo, interval, number, quantity
from stochrobust.auditing.saved import FORMAT, checksum

WORDS = {"good": "good", "note": "note", "bad": "BAD"}


def to_json(findings: Findings) -> str:
    """All but the pictures. JSON has no infinity: it is the string "inf"."""
    content = {
        "format": FORMAT,
        "title": findings.title,
        "stochastic": findings.stochastic,
        "takes_seeds": findings.takes_seeds,
        "numbers": {name: asdict(number) for name, number in findings.numbers.items()},
        "per_input": findings.per_input,
        "curve": asdict(findings.curve),
        "trace": findings.trace,
        "ranks": findings.ranks,
        "verdicts": [asdict(verdict) for verdict in findings.verdicts],
        "concerns": findings.concerns,
        "codes": [concern.code for concern in findings.concerns],
        "protocol": findings.protocol,
    }
    ready = json_ready(content)
    return json.dumps(ready | {"checksum": checksum(ready)}, allow_nan=False, indent=1)


def in_one_line(text: str) -> str:
    """Words of somebody else's in Markdown: nothing in them is markup, or ends a line or a cell."""
    return re.sub(r"[\\`*\[\]<>#|~&]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", " ".join(text.split()))


def to_markdown(findings: Findings, *, protocol: bool = True) -> str:
    """Verdicts, a table of the numbers for each group, the curve, the concerns and, if wanted, the protocol."""
    parts = [f"# Audit{': ' * bool(findings.title)}{in_one_line(findings.title)}"]
    parts.append("\n".join(f"- **{v.name}** ({WORDS[v.level]}): {v.sentence}" for v in findings.verdicts))
    for group, infos in GROUPS.items():
        present = [(info, findings.numbers[name]) for name, info in infos.items() if name in findings.numbers]
        rows = [[info.title, *_cells(info.unit, value), _about(info)] for info, value in present]
        parts.append(_section(group, ["", "value", "interval", "inputs", ""], rows))
    strong = findings.protocol.get("attacks", {}).get("strong")
    if strong is not None:
        parts.append(f"The strong attack is {strong}.")
    curve = findings.curve
    rows = [
        [number(eps), quantity(psnr, "dB"), *_cells("dB", attacked)[:2], _cells("dB", random)[0]]
        for eps, psnr, attacked, random in zip(curve.eps, curve.ai_psnr, curve.attacked, curve.random, strict=True)
    ]
    header = ["eps", "AI-PSNR", "robustness", "interval", "random direction"]
    parts.append(_section("Robustness over the size of the attack", header, rows))
    if findings.concerns:
        parts.append("## Doubts\n\n" + "\n".join(f"- {in_one_line(sentence)}" for sentence in findings.concerns))
    if protocol:
        parts.append(f"## Protocol\n\n```json\n{json.dumps(json_ready(findings.protocol), indent=1)}\n```")
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(title: str, header: list[str], rows: list[list[str]]) -> str:
    """A heading and a table; nothing if the table is empty."""
    if not rows:
        return ""
    lines = [header, ["---", *["---:"] * (len(header) - 2), "---"], *rows]
    return f"## {title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(unit: str, value: AuditNumber) -> list[str]:
    """Value, interval, and how many inputs."""
    infinite = f" ({value.n_infinite} infinite)" * bool(value.n_infinite)
    return [quantity(value.estimate, unit), interval(value, unit), f"{value.n}{infinite}"]


def _about(info: NumberInfo) -> str:
    better = {"high": "higher is better", "low": "lower is better", "": ""}[info.better]
    return "; ".join(filter(None, [info.about, better]))


def json_ready(value: Any) -> Any:
    """Nested values as JSON has them: lists for tuples, words for numbers that are not finite."""
    if isinstance(value, dict):
        return {key: json_ready(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [json_ready(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
