"""The GAN of plain_loop.py in Lightning: two optimizers, and the Trainer's own --precision (try bf16-mixed)."""

import argparse

import lightning as L
import torch
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


class RobustGAN(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.G = Consistent(Generator(), InpaintingProjector(KNOWN))
        self.critic = nn.Sequential(nn.Linear(64, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 1))

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [torch.optim.Adam(net.parameters(), 2e-3, betas=(0.5, 0.99)) for net in (self.G, self.critic)]

    # --8<-- [start:step]
    def training_step(self, real: Tensor, batch_idx: int) -> None:
        G_optimizer, critic_optimizer = self.optimizers()
        y = real.roll(1, dims=0) * KNOWN.to(real.device)  # of other digits
        logits = self.critic(real.requires_grad_())
        (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
        generated = self.G(y, self.G.sample_z(y)).detach()
        loss = softplus(-logits).mean() + softplus(self.critic(generated)).mean() + 0.1 * slope.square().sum(1).mean()
        critic_optimizer.zero_grad()
        self.manual_backward(loss)
        critic_optimizer.step()

        loss = softplus(-self.critic(self.G(y, self.G.sample_z(y)))).mean()
        if batch_idx % 3 == 2:  # the paper's schedule
            loss = loss + 200.0 * robustness_loss(self.G, y, eps=EPS, n_seeds=4)
        G_optimizer.zero_grad()
        self.manual_backward(loss)
        G_optimizer.step()

    # --8<-- [end:step]


def main(steps: int = 900, precision: str = "32-true") -> dict[str, float]:
    L.seed_everything(0)
    digits = torch.from_numpy(load_digits().data).float() / 16
    model, y_test = RobustGAN(), digits[:200] * KNOWN
    loader = DataLoader(digits[200:], 64, sampler=RandomSampler(digits[200:], replacement=True, num_samples=64 * steps))
    quiet = dict.fromkeys(["logger", "enable_checkpointing", "enable_progress_bar"], False)
    L.Trainer(max_epochs=1, devices=1, precision=precision, **quiet).fit(model, loader)
    y_rows = y_test.repeat_interleave(32, 0)  # 32 outputs for each y
    std = per_pixel_std(model.G(y_rows, model.G.sample_z(y_rows)).detach(), n_seeds=32).mean().item()
    return {"sensitivity": sensitivity(model.G, y_test, EPS, n_seeds=4).value.mean().item(), "per_pixel_std": std}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--precision", default="32-true")
    print(main(**vars(parser.parse_args())))
