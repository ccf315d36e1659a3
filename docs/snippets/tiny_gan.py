# --8<-- [start:data]
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import softplus

from stochrobust import Consistent, InpaintingProjector, eps_from_psnr, per_pixel_std, robustness_loss, sensitivity

torch.manual_seed(0)
torch.set_num_threads(1)
digits = torch.from_numpy(load_digits().images).float()[:, None] / 16  # (N, 1, 8, 8)
train, test = digits[200:], digits[:200]
known = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
known[..., 6:, :] = True
eps = eps_from_psnr(30.0, n_elements=64)  # changes of y of 30 dB: barely visible
# --8<-- [end:data]


# --8<-- [start:estimator]
class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(80, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 64))

    def sample_z(self, y, generator=None):
        return torch.randn(len(y), 16, generator=generator)

    def forward(self, y, z):
        return self.net(torch.cat([4.0 * y.flatten(1), 0.3 * z], 1)).sigmoid().view(y.shape)


# --8<-- [end:estimator]


# --8<-- [start:training]
def trained(weight, steps=900):
    torch.manual_seed(0)
    G = Consistent(Generator(), InpaintingProjector(known))
    layers = nn.Flatten(), nn.Linear(64, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 1)
    critic = nn.Sequential(*layers)
    G_step, critic_step = (torch.optim.Adam(net.parameters(), 2e-3, betas=(0.5, 0.99)) for net in (G, critic))
    for step in range(steps):
        real, other = train[torch.randint(len(train), (2, 64))]
        y = other * known

        logits = critic(real.requires_grad_())
        (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
        generated = G(y, G.sample_z(y)).detach()
        loss = softplus(-logits).mean() + softplus(critic(generated)).mean() + 6.4 * slope.square().mean()
        critic_step.zero_grad()
        loss.backward()
        critic_step.step()

        loss = softplus(-critic(G(y, G.sample_z(y)))).mean()
        if weight and step % 3 == 2:
            loss = loss + weight * robustness_loss(G, y, eps, n_seeds=4)
        G_step.zero_grad()
        loss.backward()
        G_step.step()
    return G.eval()


without, with_it = trained(weight=0.0), trained(weight=200.0)
# --8<-- [end:training]
