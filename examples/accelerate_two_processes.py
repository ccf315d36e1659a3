"""The GAN of plain_loop.py in two processes: the wrapper that Accelerate prepares goes straight to robustness_loss.

accelerate launch --multi_gpu --num_processes 2 examples/accelerate_two_processes.py
torchrun --nproc_per_node 2 examples/accelerate_two_processes.py --cpu
"""

import argparse

import torch
from accelerate import Accelerator
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.utils.data import DataLoader, RandomSampler

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


def main(steps: int = 900, cpu: bool = False) -> None:
    accelerator = Accelerator(cpu=cpu)
    torch.manual_seed(accelerator.process_index)  # each draws seeds of its own; the first one's weights count
    digits = torch.from_numpy(load_digits().data).float() / 16
    plain_G = Consistent(Generator(), InpaintingProjector(KNOWN))
    critic = nn.Sequential(nn.Linear(64, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 1))
    optimizers = [torch.optim.Adam(net.parameters(), 2e-3, betas=(0.5, 0.99)) for net in (plain_G, critic)]
    loader = DataLoader(digits[200:], 32, sampler=RandomSampler(digits[200:], replacement=True, num_samples=64 * steps))
    known, y_test = KNOWN.to(accelerator.device), digits[:200].to(accelerator.device) * KNOWN.to(accelerator.device)
    # --8<-- [start:loop]
    G, critic, G_optimizer, critic_optimizer, loader = accelerator.prepare(plain_G, critic, *optimizers, loader)
    for step, real in enumerate(loader):
        y = real.roll(1, dims=0) * known  # of other digits

        logits = critic(real.requires_grad_())
        (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
        generated = G(y, plain_G.sample_z(y)).detach()
        loss = softplus(-logits).mean() + softplus(critic(generated)).mean() + 0.1 * slope.square().sum(1).mean()
        critic_optimizer.zero_grad()
        accelerator.backward(loss)
        critic_optimizer.step()

        loss = softplus(-critic(G(y, plain_G.sample_z(y)))).mean()
        if step % 3 == 2:  # the paper's schedule, the same in every process
            loss = loss + 200.0 * robustness_loss(G, y, eps=EPS, n_seeds=4)
        G_optimizer.zero_grad()
        accelerator.backward(loss)
        G_optimizer.step()
    # --8<-- [end:loop]
    weights = torch.cat([parameter.detach().flatten() for parameter in plain_G.parameters()])
    assert all(torch.equal(weights, other) for other in accelerator.gather(weights[None])), "the processes went apart"
    y_rows = y_test.repeat_interleave(32, 0)  # 32 outputs for each y
    std = per_pixel_std(plain_G(y_rows, plain_G.sample_z(y_rows)).detach(), n_seeds=32).mean().item()
    found = sensitivity(plain_G, y_test, EPS, n_seeds=4).value.mean().item()
    accelerator.print({"sensitivity": found, "per_pixel_std": std, "processes": accelerator.num_processes})


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--cpu", action="store_true")
    main(**vars(parser.parse_args()))
