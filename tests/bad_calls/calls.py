"""Right calls of every public name, and for each argument what it cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import stochrobust as sr
from stochrobust import torchmetrics as tm
from stochrobust.auditing.findings import Curve
from tests.bad_calls import domains as d
from tests.bad_calls import shell
from tests.bad_calls.judge import Base

GENERATOR = torch.Generator().manual_seed(0)
Y = torch.rand(4, 3, generator=GENERATOR)
IMAGES = torch.rand(4, 3, 4, 4, generator=GENERATOR)
SAMPLES = torch.rand(8, 3, 4, 4, generator=GENERATOR)
FEATURES = torch.randn(12, 3, generator=GENERATOR)
OTHERS = torch.randn(12, 3, generator=GENERATOR) + 0.5
SETS = torch.rand(2, 5, 3, generator=GENERATOR)
LAYER = nn.Linear(3, 3)
PROJECTOR = sr.BlockAverageProjector(2)
MEASURES_NAN = ("tensor with NaN", "tensor with infinity")


class Restorer(nn.Module):
    """Stochastic, and differentiable."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def sample_z(self, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(y.shape, generator=generator)

    def forward(self, y: Tensor, z: Tensor) -> Tensor:
        x_hat: Tensor = self.layer(y) * (1 + z)
        return x_hat


G = Restorer()


def normal(y: Tensor, generator: torch.Generator | None = None) -> Tensor:
    return torch.randn(y.shape, generator=generator)


def identity(images: Tensor) -> Tensor:
    return images


def hidden_noise(G: Any, generators: Any) -> sr.HiddenNoise:
    return sr.HiddenNoise(G, generators)


def halved(x: Tensor) -> Tensor:
    return x / 2


def without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    """All values but those of these names."""
    return {name: value for name, value in values.items() if name not in names}


def base(call: Callable[..., Any], right: dict[str, Any], wrong: dict[str, dict[str, Any]], **words: str) -> Base:
    return Base(getattr(call, "__name__", str(call)), call, right, wrong, words)


OF_G = {"G": "output|attack", "z": "seeds", "sample_z": "seeds|z", "eps": "radius"}


def estimating(
    call: Callable[..., Any], right: dict[str, Any], wrong: dict[str, dict[str, Any]], *, loss: bool
) -> Base:
    """A call with an estimator: what all of them take, and more."""
    y = without(d.TENSOR, "another batch", "another width", *(MEASURES_NAN if loss else ()))
    common: dict[str, dict[str, Any]] = {
        "G": d.CALLABLE,
        "y": without(y, "tensor of seven dimensions"),
        "n_seeds": d.COUNT,
        "z": without(d.SEEDS, "empty list"),
        "sample_z": d.SAMPLER,
        "cond": d.COND,
        "module": d.MODULE,
        "generator": d.GENERATOR,
        "max_batch": d.COUNT_OR_NONE,
    }
    taken = {name: values for name, values in common.items() if name in right or name not in ("max_batch",)}
    return Base(call.__name__, call, {"G": G, "y": Y} | right, taken | wrong, OF_G)


QUICK = sr.PGD(1)
SEARCHING = {"eps": d.EPS, "attack": d.ATTACK, "ball": d.BALL}
MEASURING = {"n_seeds": 2, "max_batch": None}

ESTIMATING = [
    estimating(
        sr.robustness_loss,
        {"eps": 0.1, **MEASURING},
        SEARCHING
        | {"delta": without(d.TENSOR, "None", *MEASURES_NAN), "reduction": d.CHOICE, "norm_statistics": d.CHOICE},
        loss=True,
    ),
    estimating(
        sr.sensitivity,
        {"eps": 0.1, "attack": QUICK, **MEASURING},
        SEARCHING | {"reference": without(d.TENSOR, "None")},
        loss=False,
    ),
    estimating(sr.mean_sensitivity, {"eps": 0.1, "attack": QUICK, **MEASURING}, SEARCHING, loss=False),
    estimating(sr.w2_sensitivity, {"eps": 0.1, "attack": QUICK, **MEASURING}, SEARCHING, loss=False),
    estimating(
        sr.same_seed_change,
        {"delta": 0.1 * torch.ones(4, 3), **MEASURING},
        {"delta": without(d.TENSOR, *MEASURES_NAN), "norm_statistics": d.CHOICE},
        loss=True,
    ),
    estimating(sr.check_estimator, {"n_seeds": 2}, {}, loss=False),
    estimating(
        sr.attack_evidence,
        {"eps": 0.1, "attack": QUICK, "trials": 2, **MEASURING},
        SEARCHING | {"surrogate": without(d.CALLABLE, "None"), "trials": d.COUNT},
        loss=False,
    ),
    estimating(
        sr.linearised_sensitivity, {"eps": 0.1, "steps": 2, **MEASURING}, {"eps": d.EPS, "steps": d.COUNT}, loss=False
    ),
    estimating(sr.mode_seeking_loss, MEASURING, {}, loss=True),
    estimating(sr.diversity_sensitive_loss, MEASURING, {"tau": without(d.POSITIVE, "infinity")}, loss=True),
    estimating(sr.std_reward_loss, MEASURING, {}, loss=True),
    estimating(sr.jacobian_penalty, {"n_seeds": 2}, {"n_projections": d.COUNT}, loss=True),
    estimating(sr.spectral_penalty, {"n_seeds": 2}, {"steps": d.COUNT}, loss=True),
    estimating(
        sr.SameSeed,
        MEASURING,
        {"G": without(d.CALLABLE, *d.RETURNS), "first_seed": d.AT_LEAST_0, "norm_statistics": d.CHOICE},
        loss=True,
    ),
]

OF_SETS = {"real": d.FEATURES, "generated": d.FEATURES}
OF_SETS_AND_ONE = {"real": d.FEATURES, "generated": without(d.FEATURES, "one sample")}
BOTH = {"real": FEATURES, "generated": OTHERS}
IN_IMAGES = {"samples": d.IMAGE, "x": d.IMAGE, "n_seeds": d.COUNT}
SAMPLED = {"samples": SAMPLES, "x": IMAGES, "n_seeds": 2}
PAIR = without(d.TENSOR, "another batch", "another width")
POINTS = without(d.TENSOR, "another batch", "another width") | {"two dimensions": torch.ones(5, 3)}
CHANGING = {"a": without(d.TENSOR), "b": without(d.TENSOR), "data_range": d.POSITIVE}

MEASURING_SETS = [
    base(sr.precision_recall, BOTH | {"k": 3}, OF_SETS | {"k": d.NEIGHBOURS}, k="neighbours|samples"),
    base(sr.density_coverage, BOTH | {"k": 3}, OF_SETS | {"k": d.NEIGHBOURS}, k="neighbours|samples"),
    base(sr.prdc, BOTH | {"k": 3}, OF_SETS | {"k": d.NEIGHBOURS}, k="neighbours|samples"),
    base(
        sr.realism,
        BOTH | {"k": 3},
        OF_SETS_AND_ONE | {"k": without(d.NEIGHBOURS, "list of zero", "list of nothing")},
        k="samples",
    ),
    base(sr.frechet_distance, BOTH, OF_SETS),
    base(
        sr.kernel_distance,
        BOTH | {"n_subsets": 2},
        OF_SETS
        | {
            "subset_size": d.COUNT_OR_NONE | {"more than there are": 10**6},
            "n_subsets": d.COUNT,
            "generator": d.GENERATOR,
        },
        subset_size="samples",
    ),
    base(
        sr.conditional_frechet_distance,
        BOTH | {"y": FEATURES},
        OF_SETS | {"y": d.FREE_TENSOR, "components": d.COUNT_OR_NONE},
    ),
    base(
        sr.interval_by_halves,
        BOTH | {"statistic": sr.frechet_distance, "n_splits": 2},
        OF_SETS
        | {
            "statistic": without(d.CALLABLE, "returns a number"),
            "n_splits": d.COUNT | {"one": 1},
            "level": d.REAL | d.only("negative", "integer", "fraction"),
            "generator": d.GENERATOR,
        },
    ),
    base(
        sr.interval_of_mean,
        {"values": Y[:, 0]},
        {"values": without(d.OPEN_TENSOR, "tensor of one number"), "level": d.POSITIVE},
    ),
    base(
        sr.interval_of_ratio,
        {"numerators": Y[:, 0], "denominators": Y[:, 1]},
        {"numerators": d.OPEN_TENSOR, "denominators": d.OPEN_TENSOR, "level": d.POSITIVE},
    ),
    base(sr.w2_squared, {"a": SETS, "b": SETS}, {"a": POINTS, "b": POINTS, "method": d.CHOICE}),
    base(sr.w2_distance, {"a": SETS, "b": SETS}, {"a": POINTS, "b": POINTS, "method": d.CHOICE}),
    base(sr.w2_bracket, {"a": SETS, "b": SETS, "rounds": 5}, {"a": POINTS, "b": POINTS, "rounds": d.AT_LEAST_0}),
    base(
        sr.sliced_w2_squared,
        {"a": SETS, "b": SETS, "n_projections": 4},
        {"a": POINTS, "b": POINTS, "n_projections": d.COUNT, "generator": d.GENERATOR},
    ),
    base(sr.gaussian_w2_squared, {"a": SETS, "b": SETS}, {"a": POINTS, "b": POINTS}),
    base(sr.FrechetStatistics.of, {"features": FEATURES}, {"features": without(d.FEATURES, "one sample")}),
    base(
        sr.FrechetStatistics.from_moments,
        {"mean": torch.zeros(3), "covariance": torch.eye(3), "n": 5},
        {
            "mean": without(d.TENSOR, "another width"),
            "covariance": d.TENSOR,
            "n": d.COUNT | {"one": 1},
            "protocol": d.RECORD,
        },
    ),
    base(
        sr.FrechetStatistics.unpacked,
        {"packed": torch.ones(5, 3), "protocol": sr.Protocol()},
        {"packed": PAIR, "protocol": d.RECORD},
    ),
    base(sr.FrechetStatistics().merge, {"other": sr.FrechetStatistics()}, {"other": d.RECORD}),
    base(sr.FrechetStatistics().update, {"features": FEATURES}, {"features": without(d.FEATURES, "one sample")}),
]

OF_IMAGES = [
    base(sr.crps, SAMPLED, IN_IMAGES),
    base(sr.spread_error, SAMPLED, IN_IMAGES),
    base(sr.rank_histogram, SAMPLED, IN_IMAGES | {"generator": d.GENERATOR}),
    base(
        sr.per_pixel_std,
        {"samples": SAMPLES, "n_seeds": 2},
        {"samples": without(d.IMAGE, "two dimensions"), "n_seeds": d.COUNT, "mask": d.MASK},
    ),
    base(
        sr.posterior_components, {"samples": SAMPLES, "x": IMAGES[:2], "n_seeds": 4, "k": 1}, IN_IMAGES | {"k": d.COUNT}
    ),
    base(
        sr.coverage_ranks,
        SAMPLED | {"reference": IMAGES},
        IN_IMAGES | {"reference": d.IMAGE, "features": without(d.CALLABLE, "None"), "generator": d.GENERATOR},
    ),
    base(
        sr.coverage_test,
        {"ranks": torch.arange(9) % 3, "n_seeds": 2},
        {
            "ranks": without(d.all_but("tensor of integers", "tensor of bytes"))
            | {"beyond": torch.arange(9), "negative": -torch.arange(9)},
            "n_seeds": d.COUNT,
        },
    ),
    base(sr.psnr, {"a": Y, "b": Y / 2}, CHANGING),
    base(
        sr.robustness_psnr,
        {"clean": Y, "attacked": Y / 2, "n_seeds": 2},
        {
            "clean": without(d.TENSOR, "another width"),
            "attacked": without(d.TENSOR, "another width"),
            "n_seeds": d.COUNT,
            "data_range": d.POSITIVE,
        },
    ),
    base(
        sr.adversarial_input_psnr,
        {"y": Y, "delta": Y / 9},
        {"y": d.TENSOR, "delta": d.TENSOR, "data_range": d.POSITIVE},
    ),
    base(
        sr.consistency_psnr,
        {"x_hat": IMAGES, "y": PROJECTOR.D(IMAGES), "projector": PROJECTOR},
        {"x_hat": d.IMAGE, "y": d.IMAGE, "projector": d.PROJECTOR, "data_range": d.POSITIVE},
    ),
    base(
        sr.noise_consistency,
        {"x_hat": IMAGES, "y": PROJECTOR.D(IMAGES), "projector": PROJECTOR, "noise": 0.1},
        {"x_hat": d.IMAGE, "y": d.IMAGE, "projector": d.PROJECTOR, "n_seeds": d.COUNT},
    ),
    base(
        sr.linear_reference,
        {"y": FEATURES, "x": OTHERS, "folds": 2},
        {
            "y": d.FREE_TENSOR,
            "x": d.FREE_TENSOR,
            "folds": d.COUNT | {"one": 1, "more than there are": 99},
            "ridges": without(d.REALS, "None"),
        },
    ),
    base(
        sr.summarize_psnr,
        {"values": Y[:, 0]},
        {"values": without(d.OPEN_TENSOR, "tensor of one number", "tensor of seven dimensions")},
    ),
    base(
        sr.eps_from_psnr,
        {"psnr_db": 30.0, "n_elements": 5},
        {
            "psnr_db": without(d.REAL, "infinity", "tensor with infinity", "tensor of seven dimensions"),
            "n_elements": d.COUNT,
            "data_range": d.POSITIVE,
        },
    ),
    base(
        sr.psnr_from_eps,
        {"eps": 0.1, "n_elements": 5},
        {"eps": without(d.POSITIVE, "tensor of seven dimensions"), "n_elements": d.COUNT, "data_range": d.POSITIVE},
    ),
    base(
        sr.extract_features,
        {"images": IMAGES, "extractor": sr.ModuleFeatures(nn.Flatten(), name="m")},
        {"images": without(d.IMAGES, "tensor elsewhere"), "extractor": d.RECORD, "batch_size": d.COUNT},
    ),
    base(
        sr.draw_seeds,
        {"sample_z": normal, "y": Y, "n_seeds": 2, "generator": None},
        {
            "sample_z": without(d.SAMPLER, "returns a number", "returns a string", "returns a list") | d.only("None"),
            "y": without(d.TENSOR, "another batch", "another width", *MEASURES_NAN),
            "n_seeds": d.COUNT,
            "generator": d.GENERATOR,
            "first_seed": d.AT_LEAST_0,
        },
        sample_z="seeds|z",
    ),
]

STEPPING = {"steps": d.COUNT, "restarts": d.COUNT, "keep": d.CHOICE, "start": d.CHOICE}
BOX = without(d.all_but("None"), "tuple") | {
    "equal": (1.0, 1.0),
    "falling": (1.0, 0.0),
    "NaN in it": (0.0, float("nan")),
    "strings": ("0", "1"),
    "truths": (False, True),
    "complex": (0j, 1j),
    "None in it": (None, 1.0),
    "three numbers": (0.0, 1.0, 2.0),
    "truths in tensors": (torch.tensor(False), 1.0),
}
BALL_MASK = without(
    d.MASK,
    "empty tensor",
    "tensor of one number",
    "tensor elsewhere",
    "tensor of seven dimensions",
    "minus one",
    "half of them",
    "neither 0 nor 1",
    "tensor with infinity",
    "tensor with NaN",
)
MATRIX = without(d.FREE_TENSOR, "tensor of seven dimensions") | {
    "seven dimensions": d.ANY["tensor of seven dimensions"]
}

MAKING = [
    base(sr.PGD, {}, STEPPING | {"step": d.POSITIVE | {"zero": 0.0}}),
    base(
        sr.AdamAscent,
        {},
        STEPPING | {"lr": d.POSITIVE | {"zero": 0.0}, "betas": without(d.REALS, "NaN in a tuple") | d.only("tuple")},
    ),
    base(sr.SphereAscent, {}, STEPPING),
    base(sr.RandomSearch, {}, {"steps": d.COUNT, "restarts": d.COUNT}),
    base(sr.SubspaceSearch, {}, {"steps": d.COUNT}),
    base(sr.DenseSearch, {}, {"points": d.COUNT}),
    base(sr.L2, {}, {"box": BOX, "mask": BALL_MASK}),
    base(sr.Linf, {}, {"box": BOX, "mask": BALL_MASK}),
    base(
        sr.AuditSettings,
        {},
        {
            "n_seeds": d.COUNT | {"one": 1},
            "n_attacked": d.COUNT,
            "attack_seeds": d.COUNT,
            "k": d.COUNT,
            "radii": without(d.REALS, "empty list")
            | {"falling": (2.0, 1.0), "zero": (0.0,)}
            | d.only("tuple", "list", "set"),
            "n_splits": d.COUNT | {"one": 1},
            "level": d.POSITIVE | d.only("integer", "fraction"),
            "n_examples": d.AT_LEAST_0,
            "seed": without(d.INTEGER, "beyond double precision"),
        },
    ),
    base(
        sr.BlackBox,
        {"G": len},
        {
            "G": without(d.CALLABLE, *d.RETURNS),
            "layout": d.CHOICE,
            "pixel_range": d.RANGE | d.only("dtype"),
            "dtype": d.CHOICE,
            "batched": d.TRUTH,
            "workers": d.AT_LEAST_0,
            "seed": without(d.TEXT, "None"),
        },
    ),
    base(
        sr.OperatorProjector,
        {"A": halved, "adjoint": halved, "like": FEATURES},
        {
            "A": without(d.CALLABLE, "returns one number", "returns fewer rows"),
            "adjoint": without(d.CALLABLE, "None", "returns one number", "returns fewer rows"),
            "like": without(PAIR, *MEASURES_NAN, "tensor elsewhere"),
            "rtol": d.POSITIVE,
            "max_steps": d.COUNT,
            "dtype": d.all_but("dtype", "None"),
        },
    ),
    base(sr.BlockAverageProjector, {"scale": 2}, {"scale": d.COUNT}),
    base(
        sr.CEMProjector,
        {"kernel": torch.ones(2, 2) / 4, "scale": 2},
        {"kernel": without(d.FREE_TENSOR), "scale": d.COUNT, "rtol": d.POSITIVE},
    ),
    base(sr.LinearProjector, {"A": torch.eye(3)[:2]}, {"A": MATRIX, "rtol": d.POSITIVE}),
    base(
        sr.SeparableProjector,
        {"height": torch.eye(3)[:2], "width": torch.eye(3)[:2]},
        {"height": MATRIX, "width": MATRIX, "rtol": d.POSITIVE},
    ),
    base(
        sr.InpaintingProjector,
        {"mask": torch.tensor([True, False])},
        {"mask": without(d.MASK, "tensor of seven dimensions") | d.only("None")},
    ),
    base(
        sr.Consistent,
        {"G": G, "projector": PROJECTOR},
        {"G": without(d.CALLABLE, *d.RETURNS), "projector": d.PROJECTOR},
    ),
    Base(
        "HiddenNoise",
        hidden_noise,
        {"G": G, "generators": GENERATOR},
        {"G": without(d.CALLABLE, *d.RETURNS), "generators": d.all_but()},
    ),
    base(
        sr.RobustnessLoss,
        {"eps": 0.1},
        {
            "eps": d.EPS,
            "n_seeds": d.COUNT,
            "attack": d.ATTACK,
            "ball": d.BALL,
            "reduction": d.CHOICE,
            "max_batch": d.COUNT_OR_NONE,
            "norm_statistics": d.CHOICE,
            "sample_z": without(d.SAMPLER, *d.RETURNS),
        },
    ),
    base(
        sr.RobustnessTarget,
        {"eps": 0.1, "amplification": 1.5},
        {
            "eps": d.EPS,
            "n_seeds": d.COUNT,
            "attack": d.ATTACK,
            "strong": d.ATTACK,
            "ball": d.BALL,
            "max_batch": d.COUNT_OR_NONE,
            "check_every": d.AT_LEAST_0,
            "norm_statistics": d.CHOICE,
            "sample_z": without(d.SAMPLER, *d.RETURNS),
        },
    ),
    base(
        sr.SampleKeys,
        {"sample_ids": [1, 2]},
        {
            "sample_ids": without(d.all_but("range", "empty list"))
            | {
                "fractions": [0.5, 1.5],
                "twice the same": [1, 1],
                "None in it": [None],
                "truths": [True, False],
                "two dimensions": torch.ones(2, 2).long(),
                "fractions in a tensor": torch.tensor([0.5]),
            },
            "run_seed": without(d.INTEGER, "beyond double precision"),
        },
    ),
    base(
        sr.Protocol,
        {},
        {
            "extractor": d.TEXT,
            "weights": d.TEXT,
            "preprocessing": d.TEXT,
            "metric": d.TEXT,
            "dtype": d.TEXT,
            "version": d.TEXT,
            "data_range": without(d.RANGE, "None"),
            "k": d.COUNT_OR_NONE,
            "n_real": without(d.COUNT_OR_NONE, "zero"),
            "n_generated": without(d.COUNT_OR_NONE, "zero"),
        },
    ),
    base(
        sr.Score,
        {"value": 0.5, "protocol": sr.Protocol()},
        {
            "value": without(d.REAL, "NaN", "infinity", "minus infinity") | d.only("tensor of one number"),
            "protocol": d.RECORD,
        },
    ),
    base(
        sr.Features,
        {"values": FEATURES},
        {"values": without(PAIR, "empty tensor", "tensor elsewhere", *MEASURES_NAN), "protocol": d.RECORD},
    ),
    base(
        sr.ModuleFeatures,
        {"function": nn.Flatten(), "name": "m", "weights": ""},
        {
            "function": without(d.CALLABLE, *d.RETURNS),
            "name": d.TEXT,
            "channels": d.COUNT,
            "preprocessing": d.TEXT,
            "data_range": d.RANGE,
            "weights": without(d.TEXT, "None"),
        },
    ),
    base(
        sr.InceptionFeatures,
        {"preset": "paper"},
        {"preset": d.CHOICE, "weights": d.all_but("None", "string", "empty string")},
        weights="file|path|directory",
    ),
    base(tm.AdversarialInputPSNR, {}, {"data_range": d.POSITIVE}),
    base(
        tm.ConsistencyPSNR,
        {"projector": PROJECTOR},
        {"projector": d.PROJECTOR, "data_range": d.POSITIVE, "rounded": d.TRUTH},
    ),
    base(tm.Coverage, {}, {"k": d.COUNT, "extractor": without(d.RECORD, "None")}),
    base(tm.Density, {}, {"k": d.COUNT, "extractor": without(d.RECORD, "None")}),
    base(tm.Precision, {}, {"k": d.COUNT, "extractor": without(d.RECORD, "None")}),
    base(tm.Recall, {}, {"k": d.COUNT, "extractor": without(d.RECORD, "None")}),
    base(tm.PrecisionRecallDensityCoverage, {}, {"k": d.COUNT, "extractor": without(d.RECORD, "None")}),
    base(tm.FrechetDistance, {}, {"extractor": without(d.RECORD, "None")}),
    base(tm.PerPixelStd, {}, {"n_seeds": d.COUNT_OR_NONE}),
    base(tm.RobustnessPSNR, {}, {"n_seeds": d.COUNT_OR_NONE, "data_range": d.POSITIVE}),
    base(tm.Sensitivity, {"eps": 0.1}, {"eps": d.EPS, "n_seeds": d.COUNT, "attack": d.ATTACK, "ball": d.BALL}),
]


def identity_model() -> nn.Module:
    return nn.Identity()


NUMBER = sr.AuditNumber(1.0, 0.5, 1.5, n=3)
REPORT = sr.AuditReport(
    "G",
    False,
    False,
    {"psnr_mean": NUMBER},
    {"psnr_mean": (1.0, 1.0, 1.0)},
    Curve((), (), (), ()),
    (),
    (),
    (),
    (),
    {"settings": {"level": 0.95}},
)
QUICKLY = sr.AuditSettings(n_seeds=2, n_attacked=1, attack_seeds=1, k=1, radii=(), n_splits=2, n_examples=0)

AUDITING = [
    base(
        sr.audit,
        {"G": PROJECTOR.pinv, "data": IMAGES, "eps": 0.1, "projector": PROJECTOR, "settings": QUICKLY},
        {
            "G": without(d.CALLABLE, "returns fewer rows"),
            "data": without(d.IMAGES, "tensor with NaN"),
            "eps": without(d.EPS),
            "projector": d.PROJECTOR,
            "real": without(d.IMAGES, "None"),
            "extractor": without(d.RECORD, "None"),
            "sample_z": d.SAMPLER,
            "module": d.MODULE,
            "title": d.TEXT,
            "settings": d.RECORD,
            "max_batch": d.COUNT_OR_NONE,
            "progress": d.TRUTH,
            "cache": without(d.all_but("None"), "string", "empty string", "bytes"),
        },
        G="output",
        data="x|y|batch",
        sample_z="seeds|z",
        real="images",
    ),
    base(sr.compare, {"a": REPORT, "b": REPORT}, {"a": d.RECORD, "b": d.RECORD}),
    base(sr.AuditReport.from_json, {"text": REPORT.to_json()}, {"text": d.all_but()}),
]

BASES = [*ESTIMATING, *MEASURING_SETS, *OF_IMAGES, *MAKING, *AUDITING, *shell.bases()]
RESULTS = {
    "AttackEvidence",
    "AuditNumber",
    "Comparison",
    "ConsistencyPSNR",
    "CoverageTest",
    "DensityCoverage",
    "Interval",
    "KernelDistance",
    "LinearReference",
    "LinearisedSensitivity",
    "LossRecord",
    "PRDC",
    "PSNRSummary",
    "PosteriorComponents",
    "PrecisionRecall",
    "Sensitivity",
    "Verdict",
    "W2Bracket",
    "W2Sensitivity",
}
"""What functions return: records that nobody has to make."""
NOT_CALLED = {
    "EVALUATION",
    "IFGSM",
    "PAPER",
    "PAPER_TOY",
    "TRAINING",  # values
    "AttackWarning",
    "FeatureExtractor",
    "Projector",  # a warning, and two protocols
    "EfficientNetLite0Features",
    "PerPixelStd",  # take nothing
    "module_of",
    "sampler_of",  # take anything
    "TorchFidelityFeatures",
    "from_jax",  # need packages that the tests do without
}
