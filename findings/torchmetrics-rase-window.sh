#!/usr/bin/env bash
# torchmetrics 1.9.0: relative_average_spectral_error (RASE) of two flat pictures is window_size^2 times what its formula says.
# RASE is 100 / mean(target) times the root of the mean squared error over the bands: 100 / 0.5 * 0.1 = 20 for pictures of
# 0.6 and 0.5. The mean that it divides by comes out of a window that already averages, and is divided by window_size^2 again.
#
# Input: pred 0.6, target 0.5 everywhere, 3 x 64 x 64; window_size 4, 8 (the default) and 16.
# Seen:  320, 1280, 5120; ERGAS of the same pictures, from the same formula's family, is 5.0 = 20 / 4, as it should be.
# Ends with 0 while that is so, with 1 once it is not.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "torch==2.13.0" "torchmetrics==1.9.0" "numpy==2.4.6"
cd "$work"
venv/bin/python - <<'PYTHON'
import sys

import torch
import torchmetrics
from torchmetrics.functional.image import error_relative_global_dimensionless_synthesis, relative_average_spectral_error

target = torch.full((1, 3, 64, 64), 0.5)
pred = target + 0.1
seen = {w: float(relative_average_spectral_error(pred, target, window_size=w)) for w in (4, 8, 16)}
ergas = float(error_relative_global_dimensionless_synthesis(pred, target))
print(f"torchmetrics {torchmetrics.__version__}: RASE {seen}, where 20 is right; ERGAS {ergas:.3f}")
wrong = all(abs(value / (20 * w**2) - 1) < 1e-3 for w, value in seen.items())
sys.exit(not (wrong and abs(ergas - 5) < 1e-3))
PYTHON
