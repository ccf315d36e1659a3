import torch
from torch import nn
from stochrobust import robustness_loss, sensitivity


class Restorer(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(12, 32), nn.BatchNorm1d(32), nn.SiLU(), nn.Linear(32, 8))

    def sample_z(self, y, generator=None):
        return torch.randn(len(y), 4, device=y.device, generator=generator)

    def forward(self, y, z):
        return self.net(torch.cat([y, z], 1))


G, y = Restorer(), torch.rand(32, 8)
optimizer = torch.optim.Adam(G.parameters())
