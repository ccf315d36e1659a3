"""The networks of the image studies, as published: counts, shapes, what each option changes; and the two tasks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reference_experiments.images.tasks import Task
from reference_experiments.networks.resnet_critic import ResidualBlock, ResNetCritic
from reference_experiments.networks.unet import UNet
from stochrobust import consistency_psnr, sensitivity


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("f", "parameters"), [(16, 5_746_033), (32, 22_974_689)])
def test_critic_has_the_counted_parameters(f: int, parameters: int) -> None:
    assert count(ResNetCritic(f)) == parameters


@pytest.mark.parametrize(
    ("option", "parameters"), [({"skip_noise": False}, 1_890_243), ({"halved_middle": True}, 2_438_139)]
)
def test_options_of_the_unet_have_the_counted_parameters(option: dict[str, bool], parameters: int) -> None:
    assert count(UNet(24, **option)) == parameters


def test_align_corners_reaches_the_enlargement() -> None:
    outputs = []
    for align_corners in (True, False):
        torch.manual_seed(0)
        net = UNet(2, align_corners=align_corners).eval()
        y = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        outputs.append(net(y, net.sample_z(y, torch.Generator().manual_seed(1))))
    assert not torch.allclose(*outputs)


def test_a_convolution_is_followed_by_its_normalisation_and_a_relu() -> None:
    for block in (UNet(2).stem, *UNet(2).down, *UNet(2).up):
        assert [type(layer) for layer in block] == 2 * [nn.Conv2d, nn.BatchNorm2d, nn.ReLU]


def test_unet_is_the_one_written_by_hand() -> None:
    torch.manual_seed(0)
    net, y = UNet(4, norm=False).double(), torch.rand(1, 3, 32, 32, dtype=torch.float64)
    for weight in net.parameters():
        nn.init.normal_(
            weight, std=(2 / weight[0].numel()) ** 0.5
        )  # with PyTorch's own, little is left after 18 layers
    z = net.sample_z(y)

    def block(layers: Any, x: Tensor) -> Tensor:
        output: Tensor = layers[2](layers[0](x).clamp(min=0)).clamp(min=0)
        return output

    skips, x = [], block(net.stem, y)
    for i in range(4):
        skips.append(torch.cat([x, z[i]], 1))
        x = block(net.down[i], skips[i].unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2)))
    for i in reversed(range(4)):
        places = torch.linspace(-1, 1, 2 * x.shape[-1], dtype=x.dtype)
        grid = torch.stack(torch.meshgrid(places, places, indexing="xy"), -1)[None]
        larger = nn.functional.grid_sample(x, grid, align_corners=True)
        x = block(net.up[i], torch.cat([larger, skips[i]], 1))
    torch.testing.assert_close(net(y, z), net.last(x))


def test_the_seeds_are_standard_normal_or_for_a_deterministic_model_zero() -> None:
    y = torch.zeros(8, 3, 64, 64)
    for noise in UNet(2).sample_z(y, torch.Generator().manual_seed(0)):
        assert noise.mean().item() == pytest.approx(0, abs=0.15)
        assert noise.std().item() == pytest.approx(1, abs=0.1)
    assert all(not noise.any() for noise in UNet(2, stochastic=False).sample_z(y))


def test_critic_sees_minus_one_to_one_and_has_an_activation_before_its_head() -> None:
    critic, x, seen = ResNetCritic(2, 32), torch.rand(2, 3, 32, 32), []
    critic.blocks.register_forward_hook(lambda module, inputs, output: seen.extend([*inputs, output]))
    logits = critic(x)
    torch.testing.assert_close(seen[0], 2 * x - 1)
    features = torch.where(seen[1] > 0, seen[1], 0.2 * seen[1]).flatten(1)
    torch.testing.assert_close(logits, (features @ critic.head.weight.T + critic.head.bias)[:, 0])


def test_critic_halves_by_means_over_three_times_three_pixels() -> None:
    (pool, *more) = [layer for layer in ResNetCritic(2).blocks if not isinstance(layer, ResidualBlock | nn.Conv2d)]
    x = torch.rand(1, 1, 4, 4)
    windows = nn.functional.pad(x, (1, 1, 1, 1)).unfold(2, 3, 2).unfold(3, 3, 2)
    torch.testing.assert_close(pool(x), windows.mean((-1, -2)))
    assert len(more) == 4


def test_kaiming_weights_keep_the_size_of_what_a_layer_is_fed_with() -> None:
    critic = ResNetCritic(16, init="kaiming")
    block: Any = critic.blocks[2]
    for convolution, size in ((block.first, (2 / 1.04) ** 0.5), (block.shortcut, 1.0)):
        fan_in = convolution.weight[0].numel()
        assert convolution.weight.std().item() * fan_in**0.5 == pytest.approx(size, rel=0.1)
    assert not block.first.bias.any()
    assert not critic.head.bias.any()


def test_channels_of_unet_and_critic() -> None:
    y = torch.rand(2, 1, 32, 32)
    net = UNet(2, channels=1)
    assert net(y, net.sample_z(y)).shape == y.shape
    assert ResNetCritic(2, 32, channels=1)(y).shape == (2,)


def test_residual_block_is_shortcut_plus_gain_times_branch() -> None:
    block = ResidualBlock(2, 2, 0.1)
    x = torch.randn(1, 2, 4, 4)
    with torch.no_grad():
        for convolution in (block.first, block.second):
            convolution.weight.zero_()
            convolution.bias.zero_()  # type: ignore[union-attr]
            for channel in range(2):
                convolution.weight[channel, channel, 1, 1] = 1
    activation = torch.where(x > 0, x, 0.2 * x)
    expected = x + 0.1 * torch.where(activation > 0, activation, 0.2 * activation)
    torch.testing.assert_close(block(x), expected)


def test_shortcut_is_a_convolution_without_bias_only_where_widths_differ() -> None:
    assert count(ResidualBlock(3, 5, 0.1)) == (3 * 3 * 9 + 3) + (3 * 5 * 9 + 5) + 3 * 5
    assert count(ResidualBlock(3, 3, 0.1)) == 2 * (3 * 3 * 9 + 3)


@pytest.mark.parametrize("option", [{"gain": 1.0}, {"init": "kaiming"}, {"pool": 2}])
def test_every_option_of_the_critic_changes_its_logits(option: dict[str, Any]) -> None:
    def logits(**options: Any) -> Tensor:
        torch.manual_seed(0)
        images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        found: Tensor = ResNetCritic(4, 32, **options)(images)
        return found

    assert not torch.equal(logits(), logits(**option))


def test_kaiming_weights_tell_images_apart_a_hundred_times_better() -> None:
    spreads = []
    for options in ({}, {"gain": 1.0, "init": "kaiming"}):
        torch.manual_seed(0)
        images = torch.rand(16, 3, 32, 32)
        spreads.append(ResNetCritic(8, 32, **options)(images).std().item())  # type: ignore[arg-type]
    assert spreads[1] > 100 * spreads[0]


@pytest.mark.parametrize(("arguments", "named"), [({"size": 48}, "size"), ({"pool": 4}, "pool")])
def test_critic_names_what_it_cannot_be(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        ResNetCritic(2, **arguments)


@pytest.mark.parametrize(("name", "eps"), [("inpainting", 2.5), ("sr4", 0.553), ("sr8", 0.276), ("sr16", 0.138)])
def test_radii_are_the_published_ones(name: Any, eps: float) -> None:
    assert Task(name).eps == pytest.approx(eps, rel=2e-3)


@pytest.mark.parametrize("name", ["inpainting", "sr4", "sr8", "sr16"])
def test_estimators_are_consistent_and_attacked_where_y_is(name: Any) -> None:
    task = Task(name)
    G = task.estimator(UNet(2)).eval()
    x = torch.rand(2, 3, 64, 64)
    y = task.projector().D(x)
    side = 64 // task.scale
    assert y.shape == (2, 3, side, side)
    x_hat = G(y, G.sample_z(y, None))
    assert x_hat.shape == x.shape
    assert (consistency_psnr(x_hat, y, task.projector()).raw > 100).all()
    found = sensitivity(G, y, task.eps, 2, generator=torch.Generator().manual_seed(0))
    assert found.delta.shape == y.shape


def test_super_resolver_is_fed_with_the_nearest_enlargement() -> None:
    task, seen = Task("sr4"), []
    unet = UNet(2).eval()
    unet.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    y = torch.rand(1, 3, 16, 16)
    G = task.estimator(unet)
    G(y, G.sample_z(y, None))
    assert torch.equal(seen[0], y.repeat_interleave(4, 2).repeat_interleave(4, 3))


def test_the_bottom_quarter_is_observed() -> None:
    y = Task("inpainting").projector().D(torch.ones(1, 3, 64, 64))
    assert y[:, :, :48].sum() == 0
    assert (y[:, :, 48:] == 1).all()
