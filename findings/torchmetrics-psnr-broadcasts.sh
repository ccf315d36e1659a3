#!/usr/bin/env bash
# torchmetrics 1.9.0: peak_signal_noise_ratio of pictures whose shapes differ is a number, and not the one of the broadcast pictures:
# the squared error is summed over the broadcast elements and divided by the target's own, so a grey target against a colour
# picture reads 10 log10(3) = 4.77 dB too low. structural_similarity_index_measure refuses the same pair.
#
# Input: pred 0.6 of 1 x 3 x 16 x 16, target 0.5 of 1 x 1 x 16 x 16; and both in one shape.
# Seen:  20.00 dB in one shape, 15.23 dB in two, no warning; SSIM raises a RuntimeError about the shapes.
# Ends with 0 while that is so, with 1 once it is not.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "torch==2.13.0" "torchmetrics==1.9.0" "numpy==2.4.6"
cd "$work"
venv/bin/python -W error - <<'PYTHON'
import sys

import torch
import torchmetrics
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

colour, grey = torch.full((1, 3, 16, 16), 0.6), torch.full((1, 1, 16, 16), 0.5)
alike = float(peak_signal_noise_ratio(colour, grey.expand_as(colour), data_range=1.0))
unlike = float(peak_signal_noise_ratio(colour, grey, data_range=1.0))
try:
    structural_similarity_index_measure(colour, grey, data_range=1.0)
    refused = "nothing"
except (RuntimeError, ValueError) as error:
    refused = type(error).__name__
print(f"torchmetrics {torchmetrics.__version__}: PSNR {alike:.2f} dB in one shape, {unlike:.2f} dB in two; SSIM raises {refused}")
sys.exit(not (abs(alike - 20) < 0.01 and abs(unlike - 15.23) < 0.01 and refused != "nothing"))
PYTHON
