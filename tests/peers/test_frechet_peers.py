"""Frechet and kernel distances against torch-fidelity, torchmetrics and piq on the same features: `nox -s peers`."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from stochrobust.metrics.frechet import frechet_distance
from stochrobust.metrics.kernel import kernel_distance
from stochrobust.metrics.moments import FrechetStatistics


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sparse_features(n: int, d: int, seed: int) -> Tensor:
    """Correlated, not negative, mostly small: as those of a network are."""
    mixing = normal(d, d, seed=100) / math.sqrt(d)
    rows: Tensor = normal(n, d, seed=seed) @ mixing * torch.arange(1, d + 1) ** -0.3
    return rows.relu().float()


CASES = {
    "ordinary": (normal(400, 32, seed=0), normal(300, 32, seed=1) * 1.2 + 0.1),
    "sparse": (sparse_features(900, 128, seed=0), sparse_features(800, 128, seed=1) + 0.05),
    "fewer samples than features": (sparse_features(60, 128, seed=0), sparse_features(50, 128, seed=1)),
    "one set with fewer": (sparse_features(900, 128, seed=0), sparse_features(50, 128, seed=1)),
    "offset of 1e4": (normal(400, 32, seed=0) + 1e4, normal(300, 32, seed=1) + 1e4),
}


def of_torch_fidelity(real: Tensor, generated: Tensor) -> float:
    module = pytest.importorskip("torch_fidelity.metric_fid")
    first, second = (module.fid_features_to_statistics(rows.double()) for rows in (generated, real))
    return float(module.fid_statistics_to_metric(first, second, False)["frechet_inception_distance"])


def of_torchmetrics(real: Tensor, generated: Tensor) -> float:
    module = pytest.importorskip("torchmetrics.image.fid")
    moments = [(rows.double().mean(0), rows.double().T.cov()) for rows in (real, generated)]
    return float(module._compute_fid(*moments[0], *moments[1]))


def of_piq(real: Tensor, generated: Tensor) -> float:
    piq = pytest.importorskip("piq")
    return float(piq.FID().compute_metric(real.double(), generated.double()))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("peer", [of_torch_fidelity, of_torchmetrics])
def test_general_eigenvalues_agree_on_ordinary_sets(case: str, peer: Callable[[Tensor, Tensor], float]) -> None:
    real, generated = CASES[case]
    assert frechet_distance(real=real, generated=generated) == pytest.approx(peer(real, generated), rel=1e-6)


def test_piq_agrees_where_the_spectrum_does_not_decay() -> None:
    """Its iteration stops when the root is right to 1e-5 of its norm."""
    real, generated = CASES["ordinary"]
    assert frechet_distance(real=real, generated=generated) == pytest.approx(of_piq(real, generated), rel=1e-4)


def test_piq_0_8_is_wrong_on_a_decaying_spectrum() -> None:
    """Thread: piq #320. Here the answer is known: the same axes, and standard deviations of 1 to 1.1."""
    axes = torch.linalg.qr(normal(300, 300, seed=2)).Q
    rows = torch.linalg.qr(normal(1000, 300, seed=3) - normal(1000, 300, seed=3).mean(0)).Q
    real = rows * torch.arange(1, 301) ** -1.0 @ axes
    expected = 0.01 * float(real.var(0).sum())
    assert frechet_distance(real=real, generated=1.1 * real) == pytest.approx(expected, rel=1e-9)
    assert of_torch_fidelity(real, 1.1 * real) == pytest.approx(expected, rel=1e-6)
    assert abs(of_piq(real, 1.1 * real) - expected) > 0.05 * expected


def test_general_eigenvalues_lose_digits_on_singular_covariances() -> None:
    """The same axes again, with nothing along most of them: what is no eigenvalue has a root near 1e-8."""
    axes = torch.linalg.qr(normal(300, 300, seed=2)).Q
    rows = torch.linalg.qr(normal(1000, 300, seed=3) - normal(1000, 300, seed=3).mean(0)).Q
    real = rows * torch.where(torch.arange(300) < 10, 1.0, 0.0) @ axes
    total, expected = float(real.var(0).sum()), 1e-12 * float(real.var(0).sum())
    error = abs(frechet_distance(real=real, generated=(1 + 1e-6) * real) - expected) / total
    theirs = abs(of_torch_fidelity(real, (1 + 1e-6) * real) - expected) / total
    assert error < 1e-14
    assert theirs > 1e-9


def test_torchmetrics_gathers_the_same_moments() -> None:
    """Without an offset: its running sums of squares lose the digits that a large mean takes."""
    fid = pytest.importorskip("torchmetrics.image.fid")
    network = torch.nn.Flatten()
    metric = fid.FrechetInceptionDistance(feature=network, normalize=True, input_img_size=(1, 4, 4))
    metric.set_dtype(torch.float64)
    images = [torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(n)) for n in (60, 40)]
    for batch in images[0].split(16):
        metric.update(batch, real=True)
    for batch in images[1].split(10):
        metric.update(batch, real=False)
    rows = [values.double().flatten(1) for values in images]
    ours = frechet_distance(real=FrechetStatistics.of(rows[0].split(7)), generated=rows[1])
    assert ours == pytest.approx(float(metric.compute()), rel=1e-6)


@pytest.mark.parametrize("case", ["ordinary", "sparse", "one set with fewer"])
def test_kernel_distances_agree_on_sets_of_equal_size(case: str) -> None:
    size = min(map(len, CASES[case]))
    real, generated = (rows[:size].double() for rows in CASES[case])
    ours = kernel_distance(real=real, generated=generated).value
    kid = pytest.importorskip("torchmetrics.image.kid")
    assert ours == pytest.approx(float(kid.poly_mmd(real, generated)), rel=1e-9)
    piq = pytest.importorskip("piq")
    assert ours == pytest.approx(float(piq.KID().compute_metric(real, generated)), rel=1e-6)
    module = pytest.importorskip("torch_fidelity.metric_kid")
    x, y = real.numpy(), generated.numpy()
    kernels = [(a @ b.T / x.shape[1] + 1) ** 3 for a, b in ((x, x), (x, y), (y, y))]
    assert ours == pytest.approx(float(module.mmd2(*kernels)), rel=1e-9)
