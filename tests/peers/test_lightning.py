"""The metric classes in Lightning's own validation loop, which runs under inference mode: `nox -s peers`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from stochrobust import PAPER

lightning = pytest.importorskip("lightning")
stochrobust_metrics = pytest.importorskip("stochrobust.torchmetrics")


def module() -> Any:
    class Restorer(lightning.LightningModule):  # type: ignore[misc, name-defined]
        """A linear map, its sensitivity and the Frechet distance of its outputs, logged as people log metrics."""

        def __init__(self) -> None:
            super().__init__()
            self.net = torch.nn.Linear(3, 3, bias=False)
            self.sensitivity = stochrobust_metrics.Sensitivity(0.1, attack=PAPER)
            self.frechet = stochrobust_metrics.FrechetDistance()

        def validation_step(self, y: Tensor, _: int) -> None:
            assert torch.is_inference_mode_enabled()
            self.sensitivity.update(self.net, y)
            self.frechet.update(y, real=True)
            self.frechet.update(self.net(y), real=False)
            self.log("sensitivity", self.sensitivity, on_epoch=True)
            self.log("frechet", self.frechet, on_epoch=True)

    return Restorer()


@pytest.mark.filterwarnings("default")  # Lightning's own
def test_validation_logs_metrics_that_need_gradients(tmp_path: Path) -> None:
    """Attacks inside validation: Lightning #13948, #17653, #19910, #20181."""
    model = module()
    y: Any = list(torch.randn(20, 3))
    trainer = lightning.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=tmp_path, inference_mode=True,
    )  # fmt: skip
    (logged,) = trainer.validate(model, DataLoader(y, batch_size=8), verbose=False)
    largest = 0.01 * float(torch.linalg.matrix_norm(model.net.weight.detach(), 2)) ** 2
    assert 0.5 * largest < logged["sensitivity"] <= largest * (1 + 1e-5)
    assert logged["frechet"] > 0
    assert model.net.weight.grad is None
