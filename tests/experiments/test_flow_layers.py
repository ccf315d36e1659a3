"""The invertible layers of SRFlow: formulas, inverses and log-determinants, each by itself, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from reference_experiments.networks.flow_layers import (
    ActNorm,
    ConditionalAffine,
    FlowStep,
    Invertible1x1,
    NormedConv,
    Split2d,
    Squeeze,
    ZeroConv,
    subnetwork,
)

CHANNELS, N_FEATURES, HIDDEN = 6, 5, 4


@pytest.fixture(autouse=True)
def in_float64() -> Iterator[None]:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def jittered(layer: nn.Module) -> nn.Module:
    """The layer in eval mode, with nothing left at zero."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return layer.eval()


def log_abs_det(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``log |det|`` of the full Jacobian of each row by itself."""
    rows = []
    for row in x.split(1):
        jacobian = torch.autograd.functional.jacobian(function, row)
        rows.append(torch.linalg.slogdet(jacobian.reshape(row.numel(), row.numel()))[1])
    return torch.stack(rows)


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "step": lambda: FlowStep(CHANNELS, N_FEATURES, HIDDEN),
    "step of an odd number of channels": lambda: FlowStep(5, N_FEATURES, HIDDEN),
    "unconditional step": lambda: FlowStep(CHANNELS, None, HIDDEN),
    "squeeze": Squeeze,
}


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_are_inverted_and_know_their_determinant(kind: str) -> None:
    layer = jittered(LAYERS[kind]())
    u = torch.randn(1, N_FEATURES, 2, 4)
    x = torch.randn(2, 5 if "odd" in kind else CHANNELS, 2, 4)
    z, logdet = layer.encode(x, u.expand(2, -1, -1, -1))  # type: ignore[operator]
    torch.testing.assert_close(layer.decode(z, u.expand(2, -1, -1, -1)), x)  # type: ignore[operator]
    torch.testing.assert_close(logdet, log_abs_det(lambda row: layer.encode(row, u)[0], x))  # type: ignore[operator]
    assert kind == "squeeze" or (z - x).abs().max() > 0.1


def test_split_is_inverted_and_knows_its_determinant() -> None:
    layer = Split2d(CHANNELS)
    jittered(layer)
    x = torch.randn(2, CHANNELS, 2, 4)
    kept, eps, logdet = layer.encode(x)
    torch.testing.assert_close(layer.decode(kept, eps), x)
    torch.testing.assert_close(logdet, log_abs_det(lambda row: torch.cat(layer.encode(row)[:2], 1), x))
    h = layer.conv(x[:, :3])
    assert torch.equal(kept, x[:, :3])
    torch.testing.assert_close(eps, (x[:, 3:] - h[:, [0, 2, 4]]) / h[:, [1, 3, 5]].exp())


def test_squeeze_counts_channel_then_row_then_column() -> None:
    x = torch.arange(2 * 4 * 6.0).view(1, 2, 4, 6)
    z, logdet = Squeeze().encode(x, x)
    assert logdet.tolist() == [0]
    for c, dy, dx in [(0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 1, 1)]:
        assert torch.equal(z[0, 4 * c + 2 * dy + dx], x[0, c, dy::2, dx::2])


def test_rotations_start_as_rotations_and_act_by_pixel() -> None:
    layer = Invertible1x1(CHANNELS)
    torch.testing.assert_close(layer.weight @ layer.weight.T, torch.eye(CHANNELS))
    jittered(layer)
    x = torch.randn(2, CHANNELS, 3, 2)
    z, _ = layer.encode(x)
    torch.testing.assert_close(z, torch.einsum("oc,bchw->bohw", layer.weight, x))
    assert layer.decode(z.float()).dtype == torch.float32


def test_a_singular_matrix_decodes_to_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = Invertible1x1(2)
    with torch.no_grad():
        layer.weight.copy_(torch.ones(2, 2))
    assert not layer.decode(torch.randn(1, 2, 1, 1)).isfinite().any()
    garbage = (torch.eye(2), torch.tensor(2))  # as it may be, where the second number is not 0
    monkeypatch.setattr(torch.linalg, "inv_ex", lambda matrix: garbage)
    assert layer.decode(torch.randn(1, 2, 1, 1)).isnan().all()


def test_affine_map_is_the_published_formula() -> None:
    layer = ConditionalAffine(5, N_FEATURES, HIDDEN)
    jittered(layer)
    x, u = torch.randn(2, 5, 3, 4), torch.randn(2, N_FEATURES, 3, 4)

    def scale(raw: Tensor) -> Tensor:
        return 1 / (1 + (-raw - 2).exp()) + 1e-4

    h = layer.fFeatures(u)
    injected = (x + h[:, 0::2]) * scale(h[:, 1::2])  # the shift comes first
    h = layer.fAffine(torch.cat([injected[:, :2], u], 1))
    second = (injected[:, 2:] + h[:, 0::2]) * scale(h[:, 1::2])
    torch.testing.assert_close(layer.encode(x, u)[0], torch.cat([injected[:, :2], second], 1))


def test_a_fresh_affine_map_shrinks() -> None:
    """``s = sigmoid(2) + 1e-4`` everywhere: once for the first half, twice for the second."""
    layer, x = ConditionalAffine(4, N_FEATURES, HIDDEN), torch.randn(1, 4, 2, 2)
    s = 1 / (1 + math.exp(-2)) + 1e-4
    z, logdet = layer.encode(x, torch.randn(1, N_FEATURES, 2, 2))
    torch.testing.assert_close(z, x * torch.tensor([s, s, s * s, s * s]).view(4, 1, 1))
    assert logdet.item() == pytest.approx(4 * 6 * math.log(s))


def test_subnetwork_is_three_convolutions() -> None:
    network = subnetwork(N_FEATURES, HIDDEN, 6)
    assert next(network.parameters()).std().item() == pytest.approx(0.05, rel=0.15)
    jittered(network)
    p, u = dict(network.named_parameters()), torch.randn(2, N_FEATURES, 3, 4)
    assert list(p) == [
        *("0.weight", "0.actnorm.bias", "0.actnorm.logs", "2.weight", "2.actnorm.bias", "2.actnorm.logs"),
        *("4.weight", "4.bias", "4.logs"),
    ]
    h = ((conv2d(u, p["0.weight"], padding=1) + p["0.actnorm.bias"]) * p["0.actnorm.logs"].exp()).relu()
    h = ((conv2d(h, p["2.weight"]) + p["2.actnorm.bias"]) * p["2.actnorm.logs"].exp()).relu()
    h = conv2d(h, p["4.weight"], p["4.bias"], padding=1) * (3 * p["4.logs"]).exp()
    torch.testing.assert_close(network(u), h)


@pytest.mark.parametrize("size", [1, 3])
def test_a_convolution_of_rows_beside_one_and_the_same_row(size: int) -> None:
    conv = NormedConv(2 + N_FEATURES, 3, size)
    jittered(conv)
    x, u = torch.randn(4, 2, 3, 5), torch.randn(1, N_FEATURES, 3, 5)
    torch.testing.assert_close(conv.beside(x, u), conv(torch.cat([x, u.expand(4, -1, -1, -1)], 1)))


def test_one_row_of_features_conditions_all_rows_and_passes_its_networks_once() -> None:
    layer = ConditionalAffine(5, N_FEATURES, HIDDEN)
    jittered(layer)
    z, u = torch.randn(4, 5, 3, 4), torch.randn(1, N_FEATURES, 3, 4)
    rows: list[int] = []
    layer.fFeatures.register_forward_hook(lambda module, given, out: rows.append(len(out)))
    torch.testing.assert_close(layer.decode(z, u), layer.decode(z, u.expand(4, -1, -1, -1)))
    assert rows == [1, 4]


def test_a_fresh_last_layer_is_zero() -> None:
    assert ZeroConv(2, 3)(torch.randn(1, 2, 4, 4)).abs().max() == 0


# -- the first batch ---------------------------------------------------------------------------------------------------


def test_act_norm_fits_its_first_batch_in_train_mode_and_no_other() -> None:
    layer, first = ActNorm(3), 5 + 2 * torch.randn(4, 3, 5, 6)
    z = layer(first)
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(3))
    torch.testing.assert_close(z.var((0, 2, 3), correction=0), torch.ones(3), rtol=1e-5, atol=0)
    fitted = layer.bias.clone()
    layer(first + 1)
    assert torch.equal(layer.bias, fitted)


def test_act_norm_survives_a_constant_channel() -> None:
    layer = ActNorm(1)
    assert layer(torch.full((2, 1, 2, 2), 3.0)).abs().max() == 0
    assert layer.logs.item() == pytest.approx(math.log(1e6))


def test_act_norm_leaves_eval_mode_and_loaded_values_alone() -> None:
    layer, x = ActNorm(3).eval(), 5 + torch.randn(2, 3, 2, 2)
    assert torch.equal(layer(x), x)
    layer.load_state_dict({"bias": torch.ones(1, 3, 1, 1), "logs": torch.zeros(1, 3, 1, 1)})
    assert torch.equal(layer.train()(x), x + 1)
    with torch.no_grad():
        layer.bias.zero_()  # by training, and no reason to start again
    assert torch.equal(layer(x), x)
