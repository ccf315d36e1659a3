"""The audit's numbers: of restorers whose numbers are known, and against the functions that they are made by."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from stochrobust import (
    EVALUATION,
    PAPER,
    AuditReport,
    AuditSettings,
    HiddenNoise,
    InpaintingProjector,
    ModuleFeatures,
    SampleKeys,
    SphereAscent,
    adversarial_input_psnr,
    audit,
    consistency_psnr,
    crps,
    frechet_distance,
    interval_by_halves,
    interval_of_mean,
    per_pixel_std,
    prdc,
    psnr,
    rank_histogram,
    sensitivity,
    spread_error,
)
from stochrobust.auditing.measure import ATTACKS
from stochrobust.auditing.quality import QUALITY, SHARES, pixel_features, quality
from stochrobust.estimators.seeds import draw_seeds
from tests.auditing.restorers import PROJECTOR, SHAPE, TAU, Counting, Posterior, Scaled, gains, noise, sources

QUICK = AuditSettings(n_seeds=3, n_attacked=4, attack_seeds=2, k=2, radii=(), n_splits=4, n_examples=2)
X = sources(14)
EPS = 0.1
BOTH: dict[str, Any] = {"paper": PAPER, "strong": EVALUATION}


def quick(G: Any, data: Any = X, **more: Any) -> AuditReport:
    arguments: dict[str, Any] = {"eps": EPS, "projector": PROJECTOR, "settings": QUICK} | more
    return audit(G, data, **arguments)


def changed(**settings: Any) -> AuditSettings:
    return AuditSettings(**{**vars(QUICK), **settings})


@pytest.fixture
def short_attack(monkeypatch: pytest.MonkeyPatch) -> None:
    """A strong attack of 5 gradients instead of 60, where nothing is asked about it."""
    monkeypatch.setitem(ATTACKS, "strong", SphereAscent(steps=5))


@pytest.fixture(scope="module")
def model() -> Counting:
    return Counting()


@pytest.fixture(scope="module")
def report(model: Counting) -> AuditReport:
    return quick(model)


# -- restorers whose numbers are known ---------------------------------------------------------------------------------


def test_the_posterior_is_calibrated_consistent_and_robust() -> None:
    settings = AuditSettings(n_seeds=8, n_attacked=4, attack_seeds=2, radii=(), n_splits=2)
    found = audit(Posterior(), sources(400), eps=EPS, projector=PROJECTOR, settings=settings)
    sigma = TAU * math.sqrt(3 / 4)  # of a pixel, given the average of its block
    numbers = found.numbers
    assert found.stochastic
    assert found.takes_seeds
    for name, expected in {"spread_error": 1, "crps": sigma / math.sqrt(math.pi), "rank_deviation": 0}.items():
        number = numbers[name]
        assert number.estimate == pytest.approx(expected, rel=0.05, abs=0.03)
        assert name == "rank_deviation" or number.low < expected < number.high
    # the expected standard deviation of 8 Gaussians is below their sigma, by this factor
    assert numbers["std"].estimate == pytest.approx(0.965 * sigma, rel=0.02)
    assert numbers["consistency"].estimate > 130
    assert 45 < numbers["consistency_8bit"].estimate < 70
    # each pixel of y is copied to 4 pixels of x: ||change|| is 2 eps, over 4 times as many elements
    assert numbers["robustness_strong"].estimate == pytest.approx(20 * math.log10(4 / (2 * EPS)), abs=1e-3)
    assert numbers["amplification"].estimate == pytest.approx(1, abs=1e-4)
    assert len(found.ranks) == 9
    assert sum(found.ranks) == pytest.approx(1)
    assert not found.concerns


@pytest.mark.usefixtures("short_attack")
@pytest.mark.parametrize("width", [0.2, 2.0])
def test_too_narrow_and_too_wide_a_posterior_are_told(width: float) -> None:
    found = quick(Posterior(width), sources(60)).numbers
    assert found["spread_error"].estimate == pytest.approx(width, rel=0.1)
    assert found["rank_deviation"].estimate > 0.1


@pytest.mark.parametrize("largest", [2.0, 6.0])
def test_a_linear_restorer_is_as_robust_as_its_largest_gain(largest: float) -> None:
    y = X.clone()
    found = quick(Scaled(gains(largest)), (y, X), projector=None)
    numbers, n_elements = found.numbers, 16
    assert not found.stochastic
    change = largest * EPS
    expected = 20 * math.log10(math.sqrt(n_elements) / change)
    assert numbers["robustness_strong"].estimate == pytest.approx(expected, abs=1e-2)
    assert numbers["robustness_strong"].estimate <= numbers["robustness_paper"].estimate + 1e-2
    assert numbers["robustness_random"].estimate > numbers["robustness_strong"].estimate + 3
    assert numbers["ai_psnr_strong"].estimate == pytest.approx(20 * math.log10(4 / EPS), abs=1e-3)
    assert numbers["amplification"].estimate == pytest.approx(largest, rel=1e-3)
    error = (y * gains(largest) - X).square()[:4].mean().sqrt().item()
    assert numbers["change_over_error"].estimate == pytest.approx(change / math.sqrt(n_elements) / error, rel=1e-3)
    assert "consistency" not in numbers
    assert numbers["robustness_strong"].n == 4


def test_change_over_spread_of_a_linear_restorer() -> None:
    settings = changed(n_seeds=16, n_attacked=14)
    G = Scaled(gains(3.0), sigma=0.2)
    found = quick(lambda y, z: G(y, z), (X, X), projector=None, sample_z=noise, settings=settings)
    assert found.stochastic
    assert found.numbers["change_over_spread"].estimate == pytest.approx(3 * EPS / 4 / 0.2, rel=0.05)
    assert found.numbers["amplification"].estimate == pytest.approx(3, rel=1e-3)


@pytest.mark.usefixtures("short_attack")
def test_a_deterministic_restorer_has_no_spread() -> None:
    found = quick(PROJECTOR.pinv)
    assert not found.stochastic
    assert not found.takes_seeds
    assert found.ranks == ()
    assert not {"std", "spread_error", "rank_deviation", "change_over_spread"} & set(found.numbers)
    x_hat = PROJECTOR.pinv(PROJECTOR.D(X))
    assert found.numbers["crps"].estimate == pytest.approx((x_hat - X).abs().mean().item(), rel=1e-5)
    assert found.per_input["psnr_sample"] == found.per_input["psnr_mean"]
    assert [found.protocol["estimator"][name] for name in ("n_seeds", "attack_seeds")] == [1, 1]
    assert "seed ignored" not in {verdict.name for verdict in found.verdicts}
    assert found.examples[0].std is None
    assert found.examples[0].mean is None


@pytest.mark.usefixtures("short_attack")
def test_a_restorer_that_ignores_its_seed_is_found_out() -> None:
    found = quick(lambda y, z: PROJECTOR.pinv(y), sample_z=noise)
    assert not found.stochastic
    assert found.takes_seeds
    assert "seed ignored" in {verdict.name for verdict in found.verdicts}


@pytest.mark.usefixtures("short_attack")
def test_noise_that_is_drawn_inside() -> None:
    own = torch.Generator().manual_seed(0)

    def global_noise(y: Tensor) -> Tensor:
        return PROJECTOR.pinv(y) + 0.1 * torch.randn(len(y), *SHAPE)

    def own_noise(y: Tensor) -> Tensor:
        return PROJECTOR.pinv(y) + 0.1 * torch.randn(len(y), *SHAPE, generator=own)

    for G in (global_noise, HiddenNoise(own_noise, own)):
        found = quick(G)
        assert found.stochastic
        assert not found.takes_seeds
        assert not found.concerns
        assert found.numbers["amplification"].estimate == pytest.approx(1, abs=1e-3)  # of one noise, before and after
        assert found.numbers["std"].estimate == pytest.approx(0.1 * 0.886, rel=0.1)
    assert any("not the same function" in sentence for sentence in quick(own_noise).concerns)


@pytest.mark.usefixtures("short_attack")
def test_ranks_are_those_of_8_bits() -> None:
    found = quick(lambda y, z: y + 1e-4 * z.square(), (X, X), projector=None, sample_z=noise)
    assert found.stochastic
    assert found.numbers["rank_deviation"].estimate < 0.3  # 1 if the source were below every output


@pytest.mark.usefixtures("short_attack")
def test_equal_images_have_infinite_psnr_and_are_counted() -> None:
    mask = torch.ones(SHAPE, dtype=torch.bool)
    mask[:, :, 0] = False
    projector = InpaintingProjector(mask)
    found = quick(lambda y: y, projector=projector)
    assert found.numbers["consistency"].estimate == math.inf
    assert found.numbers["consistency"].n_infinite == 14
    again = AuditReport.from_json(found.to_json())
    assert again.numbers == found.numbers
    assert again.per_input == found.per_input
    half = quick(lambda y: y + 0.01 * (y[:, :, 3:] > 0.5), projector=projector).numbers["consistency"]
    assert math.isfinite(half.estimate)


# -- the numbers are those of the library's functions ------------------------------------------------------------------


def outputs(model: Any, settings: AuditSettings, n: int = 14) -> tuple[Tensor, Tensor]:
    """y, and the outputs that an audit measures."""
    y = PROJECTOR.D(X[:n])
    z = draw_seeds(model.sample_z, y, settings.n_seeds, SampleKeys(range(n), settings.seed))
    with torch.no_grad():
        return y, model(y.repeat_interleave(settings.n_seeds, 0), z)


@pytest.mark.usefixtures("short_attack")
@pytest.mark.parametrize("settings", [QUICK, changed(n_seeds=5, seed=3, level=0.8)], ids=["quick", "others"])
def test_numbers_of_the_outputs(model: Counting, settings: AuditSettings) -> None:
    found, (y, x_hat), n_seeds = quick(model, settings=settings), outputs(model, settings), settings.n_seeds
    image = x_hat[::n_seeds]
    expected = {
        "std": per_pixel_std(x_hat, n_seeds),
        "psnr_sample": psnr(image, X),
        "psnr_mean": psnr(x_hat.unflatten(0, (-1, n_seeds)).mean(1), X),
        "crps": crps(x_hat, X, n_seeds),
        "consistency": consistency_psnr(image, y, PROJECTOR).raw,
        "consistency_8bit": consistency_psnr(image, y, PROJECTOR).rounded,
    }
    for name, values in expected.items():
        assert found.per_input[name] == pytest.approx(values.tolist(), rel=1e-4, abs=1e-6)
        interval = interval_of_mean(values, level=settings.level)
        number = found.numbers[name]
        assert (number.estimate, number.low, number.high) == pytest.approx(
            (interval.estimate, interval.low, interval.high), rel=1e-4
        )
        assert number.n == 14
    assert found.numbers["spread_error"].estimate == pytest.approx(spread_error(x_hat, X, n_seeds).item(), rel=1e-4)
    eight = (255 * x_hat).round() / 255, (255 * X).round() / 255
    shares = rank_histogram(*eight, n_seeds, generator=SampleKeys(range(14), settings.seed)).mean(0)
    assert found.ranks == pytest.approx(shares.tolist(), abs=0.02)
    flat = 1 / (n_seeds + 1)
    unevenness = sum(abs(share - flat) for share in found.ranks) / 2 / (1 - flat)
    assert found.numbers["rank_deviation"].estimate == pytest.approx(unevenness, rel=1e-4)


@pytest.mark.filterwarnings("ignore::stochrobust.AttackWarning")
@pytest.mark.parametrize("settings", [QUICK, changed(attack_seeds=3, seed=3, radii=(3.0,))], ids=["quick", "others"])
def test_numbers_of_the_attacks(model: Counting, settings: AuditSettings) -> None:
    found, y, n_seeds = quick(model, settings=settings, eps=0.4), PROJECTOR.D(X[:4]), settings.attack_seeds
    keys = SampleKeys(range(4), settings.seed)
    z = draw_seeds(model.sample_z, y, n_seeds, keys, first_seed=n_seeds)
    rows = y.repeat_interleave(n_seeds, 0)
    for name, radius in [("paper", 1.0), *(("strong", radius) for radius in settings.all_radii)]:
        strong = sensitivity(model, y, radius * 0.4, n_seeds, attack=BOTH[name], generator=keys)
        with torch.no_grad():
            moved = model(rows + strong.delta.repeat_interleave(n_seeds, 0), z)
            values = psnr(model(rows, z), moved).view(-1, n_seeds).mean(1)
        if name == "strong":
            place = found.curve.eps.index(radius * 0.4)
            assert found.curve.attacked[place].estimate == pytest.approx(values.mean().item(), rel=1e-3)
            assert found.curve.random[place].estimate > found.curve.attacked[place].estimate - 0.01
        if radius == 1:
            assert found.per_input[f"robustness_{name}"] == pytest.approx(values.tolist(), rel=1e-3)
        if radius == 1 and name == "strong":
            change, spread = strong.value / 16, found.per_input["change_over_spread"]
            amplification = (change.mean() / (strong.norm.square() / 4).mean()).sqrt().item()
            assert found.numbers["amplification"].estimate == pytest.approx(amplification, rel=1e-3)
            assert found.per_input["ai_psnr_strong"] == pytest.approx(
                adversarial_input_psnr(y, strong.delta).tolist(), rel=1e-4
            )
            variance = outputs(model, settings, 4)[1].unflatten(0, (4, -1)).var(1).mean()
            assert sum(spread) / 4 == pytest.approx((change.mean() / variance).sqrt().item(), rel=1e-3)
            shares = (strong.trace[:31].cummax(0).values / strong.trace[:31].amax(0)).mean(1)
            assert found.trace == pytest.approx(shares.tolist(), rel=1e-2)
    assert found.curve.eps == pytest.approx([0.4 * radius for radius in (*settings.radii, 1.0)[::-1]])
    assert found.curve.ai_psnr == pytest.approx([20 * math.log10(2 / length) for length in found.curve.eps])


def mean_and_ends(images: Tensor) -> Tensor:
    return torch.stack([images.mean((1, 2, 3)), images.amin((1, 2, 3)), images.amax((1, 2, 3))], 1)


@pytest.mark.usefixtures("short_attack")
@pytest.mark.parametrize("settings", [QUICK, changed(k=4, n_splits=6, level=0.8, seed=2)], ids=["quick", "others"])
@pytest.mark.parametrize("extractor", [None, ModuleFeatures(mean_and_ends, name="ends", channels=3, weights="")])
@pytest.mark.parametrize("real", [None, sources(20, seed=7)], ids=["x", "real"])
def test_numbers_of_the_quality(model: Counting, settings: AuditSettings, extractor: Any, real: Tensor | None) -> None:
    found = quick(model, settings=settings, extractor=extractor, real=real)
    reals, image = X if real is None else real, outputs(model, settings)[1][:: settings.n_seeds]
    reals, image = (t.flatten(1) if extractor is None else mean_and_ends(t) for t in (reals, image))

    def statistic(*, real: Any, generated: Any) -> tuple[float, ...]:
        found = prdc(real=real, generated=generated, k=settings.k)
        scores = (frechet_distance(real=real, generated=generated), found.precision, found.recall)
        return *scores, found.density, found.coverage

    intervals = interval_by_halves(
        statistic, real=reals, generated=image, n_splits=settings.n_splits, level=settings.level,
        generator=torch.Generator().manual_seed(settings.seed),
    )  # fmt: skip
    for name, interval in zip(QUALITY, intervals, strict=True):
        number = found.numbers[name]
        if name in SHARES and float(interval.estimate) in (0.0, 1.0):  # whose interval is another one
            assert number.estimate == float(interval.estimate)
            assert max(number.low - interval.low, 0.0) * number.estimate == 0
            assert number.high >= min(interval.high, 1.0)
            continue
        assert (number.estimate, number.low, number.high) == pytest.approx(
            (interval.estimate, interval.low, interval.high), rel=1e-3, abs=1e-6
        )
    assert found.protocol["features"]["extractor"] == ("flattened pixels" if extractor is None else "ends")
    assert found.protocol["real"]["n"] == len(reals)


@pytest.mark.usefixtures("short_attack")
def test_real_images_come_in_batches_too(model: Counting) -> None:
    real = sources(20, seed=7)
    whole = quick(model, real=real)
    parts = quick(model, real=((part, "label") for part in real.split(6)))
    assert parts.numbers == whole.numbers
    assert parts.protocol["real"] == whole.protocol["real"]
    assert whole.protocol["real"] != whole.protocol["data"]["sha256"]["x"]


@pytest.mark.usefixtures("short_attack")
def test_an_extractor_of_8_bits_gets_8_bits(model: Counting, report: AuditReport) -> None:
    def scaled(images: Tensor) -> Tensor:
        return images.flatten(1) / 255

    eight = ModuleFeatures(scaled, name="8-bit pixels", channels=1, data_range=torch.uint8, weights="")
    found = quick(model, extractor=eight).numbers["frechet"].estimate
    assert found == pytest.approx(report.numbers["frechet"].estimate, rel=1e-2)
    assert found != report.numbers["frechet"].estimate


def test_a_share_of_all_has_the_exact_interval_and_not_none() -> None:
    features = torch.rand(60, 3, generator=torch.Generator().manual_seed(0))
    settings = AuditSettings(k=5, n_splits=4)
    found, _ = quality(features, features.clone(), pixel_features(1).protocol, settings)
    for name in ("precision", "recall", "coverage"):
        assert (found[name].estimate, found[name].high) == (1.0, 1.0)
        assert found[name].low <= 0.025 ** (1 / 60)  # Clopper and Pearson, of 60 of 60
    other, _ = quality(features[:40], features[:40].clone(), pixel_features(1).protocol, settings)
    assert other["recall"].low <= 0.025 ** (1 / 40)
    wide, _ = quality(features, features.clone(), pixel_features(1).protocol, AuditSettings(k=5, n_splits=4, level=0.5))
    assert wide["recall"].low <= 0.25 ** (1 / 60)
    none, _ = quality(features, features + 9, pixel_features(1).protocol, settings)
    for name in ("precision", "recall", "coverage"):
        assert (none[name].low, none[name].estimate) == (0.0, 0.0)
        assert none[name].high >= 1 - 0.025 ** (1 / 60)


@pytest.mark.usefixtures("short_attack")
def test_too_few_images_have_no_quality(model: Counting) -> None:
    found = quick(model, X[:5])
    assert not set(QUALITY) & set(found.numbers)
    assert any("quality was left out" in sentence for sentence in found.concerns)
    assert set(QUALITY) <= set(quick(model, X[:6]).numbers)
    one = quick(model, X[:1])
    assert one.numbers["crps"].low == one.numbers["crps"].estimate
    assert one.protocol["estimator"]["n_attacked"] == 1


@pytest.mark.parametrize("images", [sources(1), sources(3), sources(1).repeat(24, 1, 1, 1), torch.zeros(24, *SHAPE)])
def test_few_and_repeated_images_are_audited_without_coverage(images: Tensor) -> None:
    few = AuditSettings(n_seeds=4, n_attacked=1, attack_seeds=1, k=1, radii=(), n_examples=1)
    found = audit(Posterior(), images, eps=0.05, projector=PROJECTOR, settings=few)
    assert found.stochastic
    assert "spread_error" in found.numbers
    assert not {"coverage_gap", "coverage_p"} & set(found.numbers)
    assert found.title in str(found)
