#!/usr/bin/env bash
# torch 2.13.0, CPU: Adam(fused=True) pairs parameters and moments by their place in memory. A state loaded from a format
# that stores tensors contiguously (safetensors, NumPy), for a network in channels_last, then gives other weights, and
# nothing says so. Adam(fused=False), and torch.save, which keeps the layout, are right.
#
# Input: a 3 x 3 convolution in channels_last, two steps, its state's exp_avg and exp_avg_sq made contiguous, two more.
# Seen:  the weights differ from those of the same state in its own layout by 0 unfused and by more than 0.01 fused.
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


def trained(fused, contiguous):
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(4, 8, 3).to(memory_format=torch.channels_last)
    adam, images = torch.optim.Adam(layer.parameters(), 1e-2, fused=fused), torch.randn(2, 4, 9, 9)
    for step in range(4):
        if step == 2:
            state = adam.state_dict()
            for of_one in state["state"].values():
                for name in ("exp_avg", "exp_avg_sq"):
                    of_one[name] = of_one[name].contiguous() if contiguous else of_one[name].clone()
            adam.load_state_dict(state)
        adam.zero_grad()
        layer(images).square().mean().backward()
        adam.step()
    return layer.weight.detach()


plain, fused = (float((trained(f, True) - trained(f, False)).abs().max()) for f in (False, True))
print(f"torch {torch.__version__}: weights differ by {plain:.1e} without fused, by {fused:.1e} with it")
sys.exit(not (plain < 1e-6 and fused > 0.01))
PYTHON
