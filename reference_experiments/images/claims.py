"""A folder belongs to one training: going on with another one's checkpoints would mix the two."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from reference_experiments.runs import write_json


def claim(folder: Path, training: dict[str, Any], *, writing: bool = True) -> None:
    """Mark the folder as that of this training, or refuse one that is of another.

    Args:
        folder: gets ``settings.json``.
        training: everything that decides what is trained.
        writing: whether this process marks it, or only looks.
    """
    path, mine = folder / "settings.json", json.loads(json.dumps(training))
    if path.exists():
        theirs = json.loads(path.read_text())
        different = [name for name in mine if name not in theirs or mine[name] != theirs[name]]
        if different:
            wanted = ", ".join(f"{name}={theirs.get(name)!r} there and {mine[name]!r} here" for name in different)
            raise ValueError(f"{folder} holds another training: {wanted}; give another folder, or delete it")
    elif writing:
        write_json(path, mine)
