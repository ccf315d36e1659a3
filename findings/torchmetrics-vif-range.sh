#!/usr/bin/env bash
# torchmetrics 1.9.0: visual_information_fidelity (VIF) takes no data range, and says of one pair of pictures 1.01 in [0, 1],
# 0.47 in [0, 255] and 0.35 in [0, 1000]; of two equal flat pictures it says NaN. Its sigma_n_sq = 2 is a variance on the
# scale of 8 bits: in [0, 1], the range of torch's pictures, that noise drowns every picture, and what is left is not VIF.
#
# Input: a smooth random picture, 96 x 96, and the same with noise of standard deviation 0.05; both times 1, 255 and 1000.
# Seen:  1.0091, 0.4739, 0.3522 (its neighbours SSIM and UQI say the same in all three); NaN.
# Ends with 0 while that is so, with 1 once it is not.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "torch==2.13.0" "torchmetrics==1.9.0" "numpy==2.4.6"
cd "$work"
venv/bin/python - <<'PYTHON'
import math
import sys

import torch
import torchmetrics
from torchmetrics.functional.image import structural_similarity_index_measure, visual_information_fidelity

generator = torch.Generator().manual_seed(0)
coarse = torch.rand(1, 1, 12, 12, generator=generator)
target = torch.nn.functional.interpolate(coarse, size=(96, 96), mode="bicubic").clamp(0, 1)
pred = target + 0.05 * torch.randn(target.shape, generator=generator)
vif = [float(visual_information_fidelity(s * pred, s * target)) for s in (1, 255, 1000)]
ssim = [float(structural_similarity_index_measure(s * pred, s * target, data_range=float(s))) for s in (1, 255, 1000)]
flat = float(visual_information_fidelity(torch.full_like(target, 0.5), torch.full_like(target, 0.5)))
print(f"torchmetrics {torchmetrics.__version__}: VIF {vif}, SSIM {ssim}, VIF of equal flat pictures {flat}")
sys.exit(not (vif[0] > 2 * vif[1] > 2.4 * vif[2] and max(ssim) - min(ssim) < 1e-3 and math.isnan(flat)))
PYTHON
