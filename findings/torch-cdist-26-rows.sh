#!/usr/bin/env bash
# torch 2.13.0 (2.4.0 too): torch.cdist of float32 rows gives exact zeros on its diagonal for 25 rows, and up to 0.5 for 26
# rows of the same numbers. From 26 rows on its default forms |a|^2 + |b|^2 - 2ab, whose terms cancel where rows
# have a common offset; a k-th neighbour's distance, and what is counted within it, change with the number of rows.
#
# Input: standard normal numbers plus 100, in 64 columns. True distances: 0 of a row to itself, else about 11.
# Seen:  25 rows: largest self-distance 0. 26 rows: above 0.1, while compute_mode="donot_use_mm_for_euclid_dist" gives 0.
# Ends with 0 while that is so, with 1 once it is not.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "torch==2.13.0" "numpy==2.4.6"
cd "$work"
venv/bin/python - <<'PYTHON'
import sys

import torch

rows = torch.randn(26, 64, generator=torch.Generator().manual_seed(0)) + 100
few, many = (float(torch.cdist(x, x).diagonal().max()) for x in (rows[:25], rows))
exact = float(torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").diagonal().max())
print(f"torch {torch.__version__}: largest distance of a row to itself {few} of 25 rows, {many:.3f} of 26, {exact} exactly")
sys.exit(not (few == 0 and many > 0.1 and exact == 0))
PYTHON
