"""A small conditional GAN completes hand-written digits from their two bottom rows, in a plain PyTorch loop.

Run it with and without the robustness loss, and compare the sensitivity and the variety that it prints:

    python examples/plain_loop.py
    python examples/plain_loop.py --weight 0
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import softplus

from stochrobust import Consistent, InpaintingProjector, eps_from_psnr, per_pixel_std, robustness_loss, sensitivity

KNOWN = torch.arange(64) >= 48  # of 8 x 8 pixels
EPS = eps_from_psnr(30.0, n_elements=64)  # attacks of 30 dB


class Generator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64 + 16, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 64))

    def sample_z(self, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(len(y), 16, device=y.device, generator=generator)

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        return self.net(torch.cat([4.0 * y, 0.3 * z], 1)).sigmoid()  # loud y, quiet z: y is the easier source to use


def main(steps: int = 900, weight: float = 200.0) -> dict[str, float]:
    torch.manual_seed(0)
    digits = torch.from_numpy(load_digits().data).float() / 16
    train, y_test = digits[200:], digits[:200] * KNOWN
    G = Consistent(Generator(), InpaintingProjector(KNOWN))
    critic = nn.Sequential(nn.Linear(64, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 1))
    G_optimizer, critic_optimizer = (torch.optim.Adam(net.parameters(), 2e-3, betas=(0.5, 0.99)) for net in (G, critic))
    # --8<-- [start:loop]
    for step in range(steps):
        real, other = train[torch.randint(len(train), (2, 64))]
        y = other * KNOWN

        logits = critic(real.requires_grad_())
        (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
        generated = G(y, G.sample_z(y)).detach()
        loss = softplus(-logits).mean() + softplus(critic(generated)).mean() + 0.1 * slope.square().sum(1).mean()
        critic_optimizer.zero_grad()
        loss.backward()
        critic_optimizer.step()

        loss = softplus(-critic(G(y, G.sample_z(y)))).mean()
        if step % 3 == 2:  # the paper's schedule
            loss = loss + weight * robustness_loss(G, y, eps=EPS, n_seeds=4)
        G_optimizer.zero_grad()
        loss.backward()
        G_optimizer.step()
    # --8<-- [end:loop]
    y_rows = y_test.repeat_interleave(32, 0)  # 32 outputs for each y
    std = per_pixel_std(G(y_rows, G.sample_z(y_rows)).detach(), n_seeds=32).mean().item()
    return {"sensitivity": sensitivity(G, y_test, EPS, n_seeds=4).value.mean().item(), "per_pixel_std": std}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--weight", type=float, default=200.0)
    print(main(**vars(parser.parse_args())))
