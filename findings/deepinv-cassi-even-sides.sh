#!/usr/bin/env bash
# deepinv 0.5.0: CompressiveSpectralImaging is a linear operator whose adjoint is its adjoint only where both sides of the sheared
# picture (H + C - 1 by W, for shear_dir="h") are odd. Where one is even, <A x, v> and <x, A* v> are different numbers, so that
# every solver built on the pair (least squares, its A_dagger, gradient steps) solves another problem; and with an open mask, where
# the operator in mode "ss" is the mean over the bands, the picture comes out moved by two pixels.
#
# Input: 3 bands of 17 x 17 and of 16 x 16 pixels, default mask from a seeded generator; then a mask of ones and one lit pixel.
# Seen:  17 x 17: both products equal, the pixel (5, 6) stays. 16 x 16: 1.72 and 3.68 ("ss"), 10.25 and -5.20 ("sd"); (5, 6) -> (3, 4).
# Installs torch with torchvision: some 5 GB.
# Ends with 0 while that is so, with 1 once it is not.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check "torch==2.14.1" "torchvision==0.29.1" "deepinv==0.5.0" "numpy==2.4.6"
cd "$work"
venv/bin/python -W ignore - <<'PYTHON'
import sys

import deepinv
import torch


def operator(side: int, mode: str) -> deepinv.physics.CompressiveSpectralImaging:
    rng = torch.Generator().manual_seed(0)
    return deepinv.physics.CompressiveSpectralImaging(img_size=(3, side, side), mode=mode, shear_dir="h", rng=rng)


def products(side: int, mode: str) -> tuple[float, float]:
    A = operator(side, mode)
    x = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    y = A.A(x)
    v = torch.randn(y.shape, generator=torch.Generator().manual_seed(2))
    return float((y * v).sum()), float((x * A.A_adjoint(v)).sum())


def lands(side: int) -> list[int]:
    A = operator(side, "ss")
    A.mask = torch.ones_like(A.mask)
    x = torch.zeros(1, 3, side, side)
    x[0, :, 5, 6] = 1
    return A.A(x)[0, 0].nonzero()[0].tolist()


pairs = {(side, mode): products(side, mode) for side in (17, 16) for mode in ("ss", "sd")}
places = {side: lands(side) for side in (17, 16)}
print(f"deepinv {deepinv.__version__}: <A x, v>, <x, A* v> = {pairs}; pixel (5, 6) comes out at {places}")
right = all(abs(a - b) < 1e-4 for (side, _), (a, b) in pairs.items() if side == 17)
wrong = all(abs(a - b) > 1 for (side, _), (a, b) in pairs.items() if side == 16)
sys.exit(not (right and wrong and places == {17: [5, 6], 16: [3, 4]}))
PYTHON
