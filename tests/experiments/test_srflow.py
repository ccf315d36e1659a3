"""SRFlow: names and counts of the published network, the original's numbers, inverse, likelihood, seeds, failures."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, leaky_relu, pad

from reference_experiments.networks.flow_layers import ActNorm, FlowStep
from reference_experiments.networks.flow_network import ExplodedInverse
from reference_experiments.networks.srflow import (
    PUBLISHED,
    SRFlow,
    SRFlowConfig,
    bits_per_pixel,
    inversion_error,
    load_srflow,
    standard_normal,
)
from reference_experiments.networks.weights import with_weights
from stochrobust import L2, robustness_loss, same_seed_change
from tests.drawn_weights import drawn_weights

TINY = SRFlowConfig(steps=1, hidden=4, n_blocks=2, width=6, growth=3, stacked=(0, 1))
SHAPES = {2: [(48, 4, 6)], 3: [(6, 8, 12), (96, 2, 3)]}


def tiny(config: SRFlowConfig = TINY, **options: float) -> SRFlow:
    """In float64 and eval mode, with weights of which none is zero."""
    model = SRFlow(config, **options).double()  # type: ignore[arg-type]
    return with_weights(model, drawn_weights(model.state_dict(), 7), "SRFlow", "a seed")


def drawn(*shape: int, seed: int = 0, uniform: bool = True) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    law = torch.rand if uniform else torch.randn
    return law(*shape, dtype=torch.float64, generator=generator)


def step(model: SRFlow, number: int) -> FlowStep:
    layer = model.flowUpsamplerNet.layers[number]
    assert isinstance(layer, FlowStep)
    return layer


# -- the published network ---------------------------------------------------------------------------------------------


def published_shapes() -> dict[str, tuple[int, ...]]:
    """Every tensor of the published checkpoint, written down layer by layer."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(name: str, n_in: int, n_out: int) -> None:
        shapes.update({f"{name}.weight": (n_out, n_in, 3, 3), f"{name}.bias": (n_out,)})

    conv("RRDB.conv_first", 3, 64)
    for block, dense, i in np.ndindex(23, 3, 5):
        conv(f"RRDB.RRDB_trunk.{block}.RDB{dense + 1}.conv{i + 1}", 64 + 32 * i, 32 if i < 4 else 64)
    for name in ("trunk_conv", "upconv1", "upconv2", "HRconv"):
        conv(f"RRDB.{name}", 64, 64)
    conv("RRDB.conv_last", 64, 3)
    flow = "flowUpsamplerNet"
    conv(f"{flow}.f.0", 320, 96)
    conv(f"{flow}.layers.19.conv", 6, 12)
    shapes[f"{flow}.layers.19.conv.logs"] = (12, 1, 1)
    steps = [(range(1, 19), 12), (range(21, 39), 24), (range(40, 58), 96)]
    for i, channels in [(i, channels) for numbers, channels in steps for i in numbers]:
        layer = f"{flow}.layers.{i}"
        shapes[f"{layer}.invconv.weight"] = (channels, channels)
        shapes.update({f"{layer}.actnorm.{part}": (1, channels, 1, 1) for part in ("bias", "logs")})
        for name, n_in, n_out in [("fAffine", 320 + channels // 2, channels), ("fFeatures", 320, 2 * channels)]:
            if i in (1, 2, 21, 22, 40, 41):
                continue
            net = f"{layer}.affine.{name}"
            shapes.update({f"{net}.{j}.actnorm.{part}": (1, 64, 1, 1) for j in (0, 2) for part in ("bias", "logs")})
            shapes.update({f"{net}.0.weight": (64, n_in, 3, 3), f"{net}.2.weight": (64, 64, 1, 1)})
            conv(f"{net}.4", 64, n_out)
            shapes[f"{net}.4.logs"] = (n_out, 1, 1)
    return shapes


def test_tensors_have_the_published_names_shapes_and_number() -> None:
    with torch.device("meta"):
        state = SRFlow().state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == published_shapes()
    counts = {
        part: [tensor.numel() for name, tensor in state.items() if name.startswith(part)]
        for part in ("", "RRDB.", "flowUpsamplerNet.")
    }
    assert {part: (len(sizes), sum(sizes)) for part, sizes in counts.items()} == {
        "": (1733, 39_541_811),
        "RRDB.": (702, 16_697_987),
        "flowUpsamplerNet.": (1031, 22_843_824),
    }


def test_sizes_are_those_asked_for() -> None:
    with torch.device("meta"):
        model = SRFlow(SRFlowConfig(levels=2, steps=3, hidden=5, n_blocks=4, width=7, growth=2, stacked=(1, 3)))
    assert (len(model.RRDB.RRDB_trunk), len(model.flowUpsamplerNet.layers)) == (4, 2 * (1 + 2 + 3))
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert shapes["RRDB.RRDB_trunk.3.RDB1.conv2.weight"] == (2, 7 + 2, 3, 3)
    assert shapes["flowUpsamplerNet.layers.3.affine.fAffine.0.weight"] == (5, 6 + 3 * 7, 3, 3)


# What github.com/andreas128/SRFlow (commit 5a007ad) computes in float64, with a cast to float32 in its decoding taken
# out, of the weights `drawn_weights(..., 7)` and of inputs from numpy's `default_rng(3)`, drawn in the order below.
# Mean and standard deviation of each latent; bits per pixel; "logdet" in its own sense; of the decoded image mean,
# standard deviation and the last three values.
SMALL = SRFlowConfig(steps=1, n_blocks=4, growth=4, stacked=(0, 1, 2, 3))
ORIGINAL = [
    (
        *(SMALL, (4, 6)),
        [0.91961179731001, 0.7254621577888094, 2.8683773733675895, 2.546517537833403],
        *([15.678662079391211, 17.51346259409781], [342.2448321999109, 352.73939881213335]),
        [-0.021049652135030312, 0.49736005241965936, 0.22291184070367068, -0.005159414503452461, 0.18245971604175923],
    ),
    (
        *(SMALL, (8, 4)),
        [0.8987092201802698, 0.7168086722718024, 2.8625580881346586, 2.4589690836846634],
        *([15.932726070039836, 16.18504366909049], [453.4604650476326, 493.5966302859342]),
        [-0.025206789746726976, 0.4871943900459044, -0.7573676013894932, -1.1032859312000018, -0.20918531412831365],
    ),
    (
        *(replace(SMALL, levels=2), (4, 4)),
        [1.474145263355699, 1.2781274377870695],
        *([7.673887505735089, 8.323478359609178], [747.7825568447795, 747.7831451291732]),
        [-0.05866014708630746, 0.4678372599271917, 0.04849561768955879, -0.01723851629032634, -0.17304910418507574],
    ),
    pytest.param(
        *(PUBLISHED, (8, 8)),
        [-14.341064496803574, 768.5213024456782, 219.68948774196068, 645.644124138326],
        *([556573.4319197508, 1727819.632015994], [-53072110.0491099, -854132179.2682571]),
        [-0.222626874904981, 0.6551639026688614, -0.6351996199522211, 0.6584078293875552, -0.15005420415948906],
        marks=pytest.mark.slow,
    ),
]


@pytest.mark.parametrize(("config", "size", "latents", "bits", "logdet", "decoded"), ORIGINAL)
def test_numbers_are_the_originals(
    config: SRFlowConfig,
    size: tuple[int, int],
    latents: list[float],
    bits: list[float],
    logdet: list[float],
    decoded: list[float],
) -> None:
    model, rng = tiny(config), np.random.default_rng(3)
    h, w = size
    y, x = torch.from_numpy(rng.random((2, 3, h, w))), torch.from_numpy(rng.random((2, 3, 4 * h, 4 * w)))
    seeds = [rng.standard_normal((2, *shape)) for shape in model.latent_shapes(y)]
    with torch.no_grad():
        encoding = model.encode(x, y)
        x_hat = model(y, tuple(0.9 * torch.from_numpy(seed) for seed in seeds))

    def exactly(values: list[float]) -> object:
        return pytest.approx(values, rel=1e-8, abs=0)

    found = [value.item() for z in encoding.z for value in (z.mean(), z.std())]
    assert found == exactly(latents)
    assert bits_per_pixel(encoding.log_likelihood, 4 * h, 4 * w).tolist() == exactly(bits)
    of_splits = sum(standard_normal(z) for z in encoding.z[:-1])
    assert (encoding.logdet + of_splits).tolist() == exactly(logdet)
    tail = x_hat[1, 2, -1, -3:].tolist()
    assert [x_hat.mean().item(), x_hat.std().item(), *tail] == exactly(decoded)


def test_norms_are_fitted_as_the_originals() -> None:
    """As above, with ActNorms that start at zero, in train mode: mean bits per pixel of the first batch."""
    model, rng = SRFlow(replace(SMALL, steps=2)).double(), np.random.default_rng(3)
    weights = drawn_weights(model.state_dict(), 7)
    model.load_state_dict({name: 0 * value if "actnorm" in name else value for name, value in weights.items()})
    y, x = torch.from_numpy(rng.random((4, 3, 6, 8))), torch.from_numpy(rng.random((4, 3, 24, 32)))
    bits = bits_per_pixel(model.encode(x, y).log_likelihood, 24, 32).mean()
    assert bits.item() == pytest.approx(1.4387298357115497, rel=1e-9)


# -- inverse and likelihood --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [2, 3])
def test_encoding_and_decoding_are_inverses(levels: int) -> None:
    model = tiny(replace(TINY, levels=levels))
    y, x = drawn(2, 3, 4, 6), drawn(2, 3, 16, 24, seed=1)
    encoding = model.encode(x, y)
    assert [tuple(z.shape[1:]) for z in encoding.z] == SHAPES[levels]
    torch.testing.assert_close(model.decode(y, encoding.z), x)
    z = model.sample_z(y)
    for found, seed in zip(model.encode(model(y, z), y).z, z, strict=True):
        torch.testing.assert_close(found, seed)


@pytest.mark.parametrize("levels", [2, 3])
def test_likelihood_is_that_of_the_change_of_variables(levels: int) -> None:
    """``log p(x|y) = log N(z; 0, I) + log|det dz/dx|``, with the whole Jacobian of an 8 x 8 image."""
    model = tiny(replace(TINY, levels=levels))
    y, x = drawn(1, 3, 2, 2), drawn(1, 3, 8, 8, seed=1)

    def latents(x: Tensor) -> Tensor:
        return torch.cat([z.flatten() for z in model.encode(x, y).z])

    jacobian = torch.autograd.functional.jacobian(latents, x).reshape(192, 192)
    encoding, z = model.encode(x, y), latents(x)
    logdet = torch.linalg.slogdet(jacobian)[1]
    gaussian = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum()
    torch.testing.assert_close(encoding.logdet[0], logdet, rtol=0, atol=1e-10)
    torch.testing.assert_close(encoding.log_likelihood[0], gaussian + logdet, rtol=0, atol=1e-10)


def test_bits_per_pixel_of_a_coin_per_pixel() -> None:
    assert bits_per_pixel(torch.tensor([24 * math.log(0.5)]), 4, 6).tolist() == pytest.approx([1.0])
    assert standard_normal(torch.ones(2, 3, 1, 1)).tolist() == pytest.approx([-1.5 - 1.5 * math.log(2 * math.pi)] * 2)


def test_training_by_likelihood_starts_from_fitted_norms_and_gains() -> None:
    torch.manual_seed(0)
    model, y, x = SRFlow(TINY), torch.rand(4, 3, 4, 4), torch.rand(4, 3, 16, 16)
    z, _ = step(model, 1).actnorm.encode(model.flowUpsamplerNet.layers[0].encode(x, x)[0])  # type: ignore[operator]
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(12), rtol=0, atol=1e-5)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    bits = []
    for _ in range(8):
        loss = bits_per_pixel(model.encode(x, y).log_likelihood, 16, 16).mean()
        norms = [layer for layer in model.modules() if isinstance(layer, ActNorm)]
        assert all(norm.bias.any() for norm in norms)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        bits.append(loss.item())
    assert len(norms) == 9 + 3 * 4
    assert bits[-1] < bits[0] - 0.5


# -- what conditions it ------------------------------------------------------------------------------------------------


def test_features_are_those_after_activation_and_the_blocks_beside_them() -> None:
    model, y = tiny(), drawn(2, 3, 4, 6)
    encoder, width = model.RRDB, TINY.width
    b0 = encoder.RRDB_trunk[0](encoder.conv_first(y))
    b1 = encoder.RRDB_trunk[1](b0)
    last = b1 + encoder.trunk_conv(b1)
    before = encoder.upconv1(last.repeat_interleave(2, 2).repeat_interleave(2, 3))
    up2, up1, up0 = model.features(y)
    torch.testing.assert_close(up2[:, :width], leaky_relu(before, 0.2))
    assert (up2[:, :width] - before).abs().max() > 0.01
    torch.testing.assert_close(up1[:, :width], last)
    torch.testing.assert_close(up0[:, :width], avg_pool2d(last, 2))
    stacked = torch.cat([b0, b1], 1)
    torch.testing.assert_close(up2[:, width:], stacked.repeat_interleave(2, 2).repeat_interleave(2, 3))
    torch.testing.assert_close(up1[:, width:], stacked)
    torch.testing.assert_close(up0[:, width:], stacked[..., ::2, ::2])
    assert up2.shape[1] == TINY.n_features == 18


def test_no_block_need_be_stacked() -> None:
    model = tiny(replace(TINY, stacked=()))
    assert [u.shape[1] for u in model.features(drawn(1, 3, 2, 2))] == [6, 6, 6]


# -- seeds -------------------------------------------------------------------------------------------------------------


def test_both_latents_and_the_input_matter() -> None:
    model, y = tiny(), drawn(1, 3, 4, 4)
    eps, z = model.sample_z(y, torch.Generator().manual_seed(0))
    x_hat = model(y, (eps, z))
    assert torch.equal(model(y, (eps, z)), x_hat)
    for other in ((eps + 0.1, z), (eps, z + 0.1)):
        assert (model(y, other) - x_hat).abs().max() > 0.01
    assert (model(y + 0.1, (eps, z)) - x_hat).abs().max() > 1e-4


def test_seeds_have_the_heat_for_deviation_and_a_generator_for_source() -> None:
    y = torch.rand(4, 3, 16, 16)
    model = SRFlow(TINY)
    assert model.heat == 0.9
    z = model.sample_z(y, torch.Generator().manual_seed(3))
    assert [latent.std().item() for latent in z] == pytest.approx([0.9, 0.9], rel=0.02)
    state = torch.get_rng_state()
    again = model.sample_z(y, torch.Generator().manual_seed(3))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(z, again, strict=True))
    model.heat = 0.45
    halves = model.sample_z(y, torch.Generator().manual_seed(3))
    assert all(torch.equal(a, b / 2) for a, b in zip(halves, z, strict=True))
    torch.manual_seed(3)
    first, second = model.sample_z(y), model.sample_z(y)
    assert not torch.equal(first[1], second[1])
    assert {latent.dtype for latent in model.sample_z(y.double())} == {torch.float64}


def test_without_heat_there_is_one_output() -> None:
    model, y = tiny(heat=0.0), drawn(1, 3, 4, 4)
    z = model.sample_z(y)
    assert all(not latent.any() for latent in z)
    assert torch.equal(model(y, z), model(y, model.sample_z(y)))


def test_it_is_an_estimator() -> None:
    """The library draws both latents by ``sample_z``, holds them, and differentiates through decoding."""
    model, y = tiny(), drawn(2, 3, 3, 4)
    delta = 0.01 * drawn(2, 3, 3, 4, seed=1, uniform=False)
    z = model.sample_z(y, torch.Generator().manual_seed(0))
    expected = (model(y + delta, z) - model(y, z)).square().sum((1, 2, 3))
    torch.testing.assert_close(same_seed_change(model, y, delta, z=z), expected)
    loss = robustness_loss(model, y, 0.1, 2, ball=L2(box=(0, 1)), generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(loss, [model.RRDB.conv_first.weight])
    assert loss > 0
    assert gradient.abs().max() > 0


@pytest.mark.parametrize(("levels", "checkpointing"), [(2, False), (3, False), (3, True)])
def test_one_input_serves_all_rows_of_the_seeds_and_is_encoded_once(levels: int, checkpointing: bool) -> None:
    model, y = tiny(replace(TINY, levels=levels), checkpointing=checkpointing), drawn(1, 3, 3, 5)
    rows, seeds = y.expand(4, -1, -1, -1), model.sample_z(y.expand(4, -1, -1, -1))
    encoded: list[int] = []
    model.RRDB.conv_first.register_forward_hook(lambda module, given, out: encoded.append(len(out)))
    results = []
    for given in (y, rows):
        leaf, *z = (tensor.detach().requires_grad_() for tensor in (given, *seeds))
        x_hat = model(leaf, tuple(z))
        gradients = torch.autograd.grad(x_hat.square().sum(), [leaf, *z, model.RRDB.upconv1.weight])
        results.append([x_hat, gradients[0].sum(0), *gradients[1:]])
    torch.testing.assert_close(*results)
    assert results[0][1].abs().max() > 0
    assert encoded == [1, 4]


# -- gradients and memory ----------------------------------------------------------------------------------------------


def test_gradients_pass_through_decoding() -> None:
    model, y = tiny(), drawn(1, 3, 2, 2).requires_grad_()
    eps, z = (latent.requires_grad_() for latent in model.sample_z(y.detach()))
    assert torch.autograd.gradcheck(lambda *inputs: model(inputs[0], inputs[1:]), (y, eps, z), fast_mode=True)


@pytest.mark.parametrize("direction", ["decode", "encode"])
def test_checkpointing_changes_memory_alone(direction: str) -> None:
    y, x = drawn(2, 3, 4, 4), drawn(2, 3, 16, 16, seed=1)
    results = []
    for checkpointing in (False, True):
        model = tiny(checkpointing=checkpointing)
        z = model.sample_z(y, torch.Generator().manual_seed(0))
        saved: list[int] = []

        def pack(tensor: Tensor, saved: list[int] = saved) -> Tensor:
            saved.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            out = model(y, z) if direction == "decode" else model.encode(x, y).log_likelihood
        gradients = torch.autograd.grad(
            out.square().sum(), [p for p in model.parameters() if p.requires_grad], allow_unused=True
        )
        results.append((out, [g for g in gradients if g is not None], sum(saved)))
    (plain, expected, much), (same, found, little) = results
    torch.testing.assert_close(same, plain, rtol=0, atol=0)
    torch.testing.assert_close(found, expected)
    assert little < much / 2


# -- sizes and failures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("h", "w"), [(3, 4), (4, 5), (5, 3)])
def test_odd_sides_are_reflected_and_cut(h: int, w: int) -> None:
    model, y = tiny(), drawn(2, 3, h, w)
    z = model.sample_z(y)
    whole = pad(y, (0, w % 2, 0, h % 2), mode="reflect")
    assert torch.equal(model(y, z), model(whole, z)[..., : 4 * h, : 4 * w])
    with pytest.raises(ValueError, match=r"y must have sides that are multiples of 2 to encode, got \(2, 3, "):
        model.encode(drawn(2, 3, 4 * h, 4 * w), y)


def test_two_levels_take_any_sides() -> None:
    model, y = tiny(replace(TINY, levels=2)), drawn(1, 3, 1, 3)
    torch.testing.assert_close(model(y, model.encode(drawn(1, 3, 4, 12), y).z), drawn(1, 3, 4, 12))


def test_arguments_of_another_shape_are_named() -> None:
    model, y = tiny(), drawn(1, 3, 4, 4)
    eps, z = model.sample_z(y)
    with pytest.raises(ValueError, match=r"z must be a tuple of tensors of shapes \[\(1, 6, 8, 8\), \(1, 96, 2, 2\)\]"):
        model(y, (z,))
    with pytest.raises(ValueError, match=r"z must be a tuple .* got \[\(1, 96, 2, 2\), \(1, 6, 8, 8\)\]"):
        model(y, (z, eps))
    with pytest.raises(ValueError, match=r"z must be .* \[\(2, 6, 8, 8\), \(2, 96, 2, 2\)\] .* got .*\(3, 96, 2, 2\)"):
        model(y, (eps.expand(2, -1, -1, -1), z.expand(3, -1, -1, -1)))  # one y goes with any number of rows, but one
    for no_z in ((), (torch.tensor(1.0), z)):
        with pytest.raises(ValueError, match=r"z must be a tuple of tensors of shapes \[\(1, 6, 8, 8\)"):
            model(y, no_z)
    with pytest.raises(ValueError, match=r"z must be .* shapes \[\(2, 6, 8, 8\), .* got \[\(1, 6, 8, 8\)"):
        model(y.expand(2, -1, -1, -1), (eps, z))
    with pytest.raises(ValueError, match=r"x must be \(1, 3, 16, 16\), 4 times y, got \(1, 3, 16, 15\)"):
        model.encode(drawn(1, 3, 16, 15), y)
    for wrong in (drawn(1, 1, 4, 4), drawn(1, 3, 1, 4), drawn(3, 4, 4)):
        with pytest.raises(ValueError, match=r"y must be \(B, 3, h, w\) with sides of at least 2, got "):
            model.sample_z(wrong)


def test_impossible_sizes_are_named() -> None:
    with pytest.raises(ValueError, match=r"heat must be at least 0 and finite, got -1"):
        SRFlow(TINY, heat=-1)
    with pytest.raises(ValueError, match=r"levels must be one of \(2, 3\), got 4"):
        replace(TINY, levels=4)
    for stacked in [(1, 0), (0, 2), (0, 0), (-1, 0)]:
        with pytest.raises(ValueError, match=r"stacked must be ascending numbers of the 2 blocks, got \("):
            replace(TINY, stacked=stacked)


def test_an_exploding_inverse_names_its_layer() -> None:
    model, y = tiny().float(), drawn(1, 3, 4, 4).float()
    z = model.sample_z(y)
    with torch.no_grad():
        step(model, 6).actnorm.logs.fill_(-100)  # exp(100) is no float32
    message = r"exploded in layers.6 \(FlowStep, level 2\): not finite in torch.float32, from numbers of up to \d"
    with pytest.raises(ExplodedInverse, match=message):
        model(y, z)


def test_a_singular_rotation_is_an_exploding_inverse() -> None:
    model, y = tiny(), drawn(1, 3, 4, 4)
    with torch.no_grad():
        step(model, 1).invconv.weight.fill_(1)
    with pytest.raises(
        ExplodedInverse, match=r"exploded in layers.1 \(FlowStep, level 1\): not finite in torch.float64"
    ):
        model(y, model.sample_z(y))


def test_inputs_that_are_not_finite_are_told_from_an_explosion() -> None:
    model, y = tiny(), drawn(1, 3, 4, 4)
    eps, z = model.sample_z(y)
    with pytest.raises(ExplodedInverse, match=r"needs finite inputs, but z held numbers that are not finite"):
        model(y, (eps, z / 0))
    with pytest.raises(ExplodedInverse, match=r"needs finite inputs, but the features of y held numbers"):
        model(y / 0, (eps, z))


def test_inversion_error_sees_an_inverse_that_degrades_before_it_explodes() -> None:
    y = drawn(2, 3, 4, 4)
    model = tiny()
    z = model.sample_z(y, torch.Generator().manual_seed(0))
    assert inversion_error(model, y, z).max() < 1e-12
    model.float()
    z32 = tuple(latent.float() for latent in z)
    sound = inversion_error(model, y.float(), z32)
    assert sound.shape == (2,)
    assert sound.max() < 1e-4
    with torch.no_grad():
        step(model, 1).actnorm.bias.fill_(1e6)
    assert inversion_error(model, y.float(), z32).min() > 0.01


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_read_strictly(tmp_path: Path) -> None:
    path, source = tmp_path / "SRFlow_DF2K_4X.pth", tiny().float()
    weights = {f"module.{name}": tensor for name, tensor in source.state_dict().items()}
    torch.save(weights, path)
    loaded = load_srflow(path, TINY, checkpointing=True)
    assert not loaded.training
    assert loaded.RRDB.checkpointing
    assert loaded.flowUpsamplerNet.checkpointing
    y = torch.rand(1, 3, 4, 4)
    z = source.sample_z(y)
    assert torch.equal(loaded(y, z), source(y, z))
    weights["flowUpsamplerNet.f.0.biases"] = weights.pop("module.flowUpsamplerNet.f.0.bias")
    torch.save(weights, path)
    message = (
        r"SRFlow_DF2K_4X.pth does not hold SRFlow's weights: flowUpsamplerNet.f.0.bias is missing; .*biases is unk"
    )
    with pytest.raises(ValueError, match=message):
        load_srflow(path, TINY)
    with pytest.raises(FileNotFoundError, match=r"none.pth is not a file: it should be a checkpoint of SRFlow for 4x"):
        load_srflow(tmp_path / "none.pth")
