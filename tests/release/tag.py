"""Whether a tag may be released: `python tests/release/tag.py v0.1.0` fails, with the reason, if it may not."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def version() -> str:
    """``__version__``, read without importing the package."""
    tree = ast.parse((ROOT / "src/stochrobust/__init__.py").read_text())
    values = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__"
    ]
    return str(ast.literal_eval(values[0]))


def refusals(tag: str, version: str, changelog: str) -> list[str]:
    """Why a tag may not be released, in sentences."""
    wrong = [] if tag == f"v{version}" else [f"the tag is {tag}, and __version__ {version}"]
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, flags=re.MULTILINE):
        wrong.append(f"CHANGELOG.md has no dated section [{version}]")
    return wrong


if __name__ == "__main__":
    found = refusals(sys.argv[1], version(), (ROOT / "CHANGELOG.md").read_text())
    print("\n".join(found) or f"{sys.argv[1]} may be released")
    sys.exit(bool(found))
