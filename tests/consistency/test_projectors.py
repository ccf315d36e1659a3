"""What every projector must do, whatever its D: compared with the pseudo-inverse of D written out as a matrix."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stochrobust.consistency import (
    BlockAverageProjector,
    CEMProjector,
    InpaintingProjector,
    LinearProjector,
    Projector,
    SeparableProjector,
)
from stochrobust.consistency.projector import ProjectorModule

SHORT_FLOATS = (torch.float32, torch.float16, torch.bfloat16)


class Case(NamedTuple):
    projector: ProjectorModule
    shape: tuple[int, ...]  # of one x
    onto: bool  # every y is some D(x)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def low_rank(rows: int, columns: int, rank: int) -> Tensor:
    return normal(rows, rank, seed=1) @ normal(rank, columns, seed=2)


def with_observed(shape: tuple[int, ...]) -> Tensor:
    return normal(*shape, seed=4) > 0


CASES = {
    "inpainting": Case(InpaintingProjector(with_observed((8, 8))), (2, 8, 8), False),
    "inpainting, a mask per channel": Case(InpaintingProjector(with_observed((2, 1, 8))), (2, 8, 8), False),
    "inpainting, a point": Case(InpaintingProjector(torch.tensor([1, 0])), (2,), False),
    "block average 2": Case(BlockAverageProjector(2), (2, 8, 8), True),
    "block average 4": Case(BlockAverageProjector(4), (1, 8, 4), True),
    "block average 1": Case(BlockAverageProjector(1), (1, 3, 5), True),
    "CEM, random kernel": Case(CEMProjector(normal(5, 4), 2), (2, 8, 6), True),
    "CEM, kernel above the image": Case(CEMProjector(normal(11, 10), 3), (1, 6, 9), True),
    "CEM, singular": Case(CEMProjector(torch.ones(4, 4), 2), (2, 8, 8), False),
    "linear": Case(LinearProjector(normal(20, 24)), (2, 3, 4), True),
    "linear, more rows than columns": Case(LinearProjector(normal(9, 6)), (6,), False),
    "linear, rank 4": Case(LinearProjector(low_rank(10, 12, 4)), (1, 3, 4), False),
    "separable": Case(SeparableProjector(height=normal(3, 8), width=normal(2, 6)), (2, 8, 6), True),
    "separable, rank 2": Case(SeparableProjector(height=low_rank(4, 8, 2), width=normal(2, 6)), (2, 8, 6), False),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


def pair(case: Case, dtype: torch.dtype = torch.float64, seed: int = 3) -> tuple[Tensor, Tensor]:
    """A batch of x, and of y that need not be in the range of D."""
    x = normal(3, *case.shape, seed=seed)
    y = normal(*case.projector.D(x).shape, seed=seed + 100)
    return x.to(dtype), y.to(dtype)


def matrix(case: Case) -> Tensor:
    """D as an (m, n) matrix: what it makes of the unit vectors."""
    n = torch.Size(case.shape).numel()
    return case.projector.D(torch.eye(n, dtype=torch.float64).reshape(n, *case.shape)).flatten(1).T


def test_the_matrix_is_not_vacuous() -> None:
    case = CASES["block average 2"]
    x, _ = pair(case)
    torch.testing.assert_close(x.flatten(1) @ matrix(case).T, case.projector.D(x).flatten(1))
    assert matrix(case).shape == (32, 128)


# -- truth -------------------------------------------------------------------------------------------------------------


@every_case
def test_pinv_is_the_pseudo_inverse_of_the_matrix(case: Case) -> None:
    _, y = pair(case)
    expected = y.flatten(1) @ torch.linalg.pinv(matrix(case), rtol=1e-6).T
    torch.testing.assert_close(case.projector.pinv(y).flatten(1), expected, rtol=0, atol=1e-12)


@every_case
def test_project_is_the_formula(case: Case) -> None:
    x, y = pair(case)
    A = matrix(case)
    expected = x.flatten(1) + (y.flatten(1) - x.flatten(1) @ A.T) @ torch.linalg.pinv(A, rtol=1e-6).T
    assert case.projector.project(x, y).shape == x.shape
    torch.testing.assert_close(case.projector.project(x, y).flatten(1), expected, rtol=0, atol=1e-12)


@every_case
def test_the_projection_is_consistent(case: Case) -> None:
    x, y = pair(case)
    degraded = case.projector.D(case.projector.project(x, y))
    reachable = y if case.onto else case.projector.D(case.projector.pinv(y))
    torch.testing.assert_close(degraded, reachable, rtol=0, atol=1e-12)
    if not case.onto:
        assert (degraded - y).abs().max() > 0.1


@every_case
def test_residual_is_what_is_missing(case: Case) -> None:
    x, y = pair(case)
    missing = case.projector.residual(x, y)
    assert missing.shape == y.shape
    torch.testing.assert_close(
        x + case.projector.pinv(missing).reshape(x.shape), case.projector.project(x, y), rtol=0, atol=1e-12
    )
    assert case.projector.residual(x, case.projector.D(x)).count_nonzero() == 0


# -- properties of an orthogonal projection ----------------------------------------------------------------------------


@every_case
def test_projecting_twice_is_projecting_once(case: Case) -> None:
    x, y = pair(case)
    once = case.projector.project(x, y)
    torch.testing.assert_close(case.projector.project(once, y), once, rtol=0, atol=1e-12)


@every_case
def test_no_consistent_point_is_nearer(case: Case) -> None:
    x, y = pair(case)
    x_hat = case.projector.project(x, y)
    other = normal(*x.shape, seed=5)
    lost = other - case.projector.pinv(case.projector.D(other)).reshape(x.shape)  # D does not see it
    torch.testing.assert_close(case.projector.D(x_hat + lost), case.projector.D(x_hat), rtol=0, atol=1e-12)
    assert ((x_hat - x) * lost).flatten(1).sum(1).abs().max() < 1e-11
    if lost.abs().max() > 1e-9:
        assert ((x_hat + lost - x).flatten(1).norm(dim=1) > (x_hat - x).flatten(1).norm(dim=1)).all()


@every_case
def test_both_products_with_the_pseudo_inverse_are_self_adjoint(case: Case) -> None:
    projector = case.projector
    (x, y), (u, v) = pair(case), pair(case, seed=6)
    torch.testing.assert_close(
        (projector.pinv(projector.D(x)).reshape(x.shape) * u).sum(),
        (projector.pinv(projector.D(u)).reshape(x.shape) * x).sum(),
    )
    torch.testing.assert_close((projector.D(projector.pinv(y)) * v).sum(), (projector.D(projector.pinv(v)) * y).sum())


@given(seed=st.integers(0, 2**31), scale=st.floats(1e-3, 1e3))
def test_points_do_not_move_apart(seed: int, scale: float) -> None:
    for case in CASES.values():
        x, y = pair(case, seed=seed)
        u = scale * normal(*x.shape, seed=seed + 1)
        moved = case.projector.project(x, y) - case.projector.project(u, y)
        assert (moved.flatten(1).norm(dim=1) <= (x - u).flatten(1).norm(dim=1) * (1 + 1e-12)).all()


@every_case
def test_samples_do_not_mix(case: Case) -> None:
    x, y = pair(case)
    alone = torch.cat([case.projector.project(x[i : i + 1], y[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(case.projector.project(x, y), alone, rtol=0, atol=1e-13)


@every_case
def test_gradients(case: Case) -> None:
    x, y = (value[:1].requires_grad_() for value in pair(case))
    assert torch.autograd.gradcheck(case.projector.project, (x, y), fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x, y: case.projector.project(x, y).square(), (x, y), fast_mode=True)
    assert torch.autograd.gradcheck(case.projector.D, (x,), fast_mode=True)


# -- dtypes, devices, modules ------------------------------------------------------------------------------------------


@every_case
@pytest.mark.parametrize("dtype", SHORT_FLOATS, ids=str)
def test_consistency_is_lost_to_the_rounding_of_the_result_alone(case: Case, dtype: torch.dtype) -> None:
    x, y = pair(case, dtype)
    x_hat = case.projector.project(x, y)
    assert x_hat.dtype == case.projector.D(x).dtype == case.projector.pinv(y).dtype == dtype
    reachable = case.projector.D(case.projector.pinv(y.double()))
    error = (case.projector.D(x_hat.double()) - reachable).abs().max()
    worst_row = matrix(case).abs().sum(1).max()
    assert error <= 2 * torch.finfo(dtype).eps * worst_row * x_hat.double().abs().max()


@every_case
def test_a_float32_y_is_met_to_float32_by_a_half_x(case: Case) -> None:
    x, y = pair(case, torch.float32)
    x_hat = case.projector.project(x.half(), y)
    assert x_hat.dtype == case.projector.residual(x.half(), y).dtype == torch.float32
    torch.testing.assert_close(x_hat, case.projector.project(x.half().float(), y), rtol=0, atol=0)


@every_case
def test_autocast_changes_nothing(case: Case) -> None:
    x, y = pair(case, torch.float32)
    expected = case.projector.project(x, y)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(case.projector.project(x, y), expected)
        assert (x[0].flatten()[:, None] @ x[0].flatten()[None]).dtype == torch.bfloat16, "autocast was not on"


@pytest.mark.parametrize("name", ["inpainting", "block average 2", "CEM, random kernel", "linear", "separable"])
def test_compiled_and_eager_agree(name: str) -> None:
    case = CASES[name]
    torch._dynamo.reset()
    x, y = pair(case, torch.float32)
    compiled: Callable[[Tensor, Tensor], Tensor] = torch.compile(case.projector, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, y), case.projector.project(x, y), rtol=0, atol=1e-6)


@every_case
def test_a_model_moves_its_projector_without_changing_it(case: Case) -> None:
    x, y = pair(case)
    model = torch.nn.Sequential(copy.deepcopy(case.projector))
    assert not model.state_dict(), "a projector is a setting, not a weight"
    model.half().to(torch.bfloat16)
    moved = model[0]
    assert isinstance(moved, Projector)
    assert torch.equal(moved(x, y), case.projector.project(x, y))
    model.to("meta")
    assert all(buffer.is_meta for buffer in moved.buffers())
    assert not any(buffer.is_meta for buffer in case.projector.buffers()), "a deep copy shares nothing"
    if list(moved.buffers()):
        with pytest.raises(ValueError, match=r"x must be on the projector's device, meta, got .* on cpu"):
            moved.project(x, y)


@every_case
def test_works_in_inference_mode(case: Case) -> None:
    x, y = pair(case)
    with torch.inference_mode():
        assert torch.equal(case.projector(x, y), case.projector.project(x, y))


@pytest.mark.gpu
@every_case
def test_a_gpu_agrees(case: Case) -> None:
    x, y = pair(case, torch.float32)
    moved = copy.deepcopy(case.projector).cuda()
    with torch.autocast("cuda"):
        torch.testing.assert_close(moved(x.cuda(), y.cuda()).cpu(), case.projector(x, y), rtol=0, atol=1e-5)


# -- what must not pass ------------------------------------------------------------------------------------------------


@every_case
def test_bad_tensors(case: Case) -> None:
    x, y = pair(case)
    projector = case.projector
    calls: list[tuple[type[Exception], str, Callable[[], object]]] = [
        (TypeError, "x must have a real floating-point dtype", lambda: projector.project(x.long(), y)),
        (TypeError, "y must have a real floating-point dtype", lambda: projector.project(x, y.long())),
        (TypeError, "x must be a torch.Tensor", lambda: projector.D(x.numpy())),  # type: ignore[arg-type]
        (TypeError, "y must be a torch.Tensor", lambda: projector.pinv(1.0)),  # type: ignore[arg-type]
        (ValueError, "x must not be empty", lambda: projector.project(x[:0], y[:0])),
        (ValueError, "y must not be empty", lambda: projector.pinv(y[:0])),
        (ValueError, r"y must have the shape of D\(x\)", lambda: projector.project(x, y[:1])),
        (ValueError, r"y must have the shape of D\(x\)", lambda: projector.residual(x, y[None])),
        (ValueError, "y must", lambda: projector.project(x, y.to("meta"))),
        (ValueError, "x must|y must", lambda: projector.project(x.to("meta"), y)),
        (ValueError, "x must have at least 2", lambda: projector.D(x.flatten())),
        (ValueError, "y must have at least 2", lambda: projector.pinv(y.flatten())),
    ]
    for error, message, call in calls:
        with pytest.raises(error, match=message):
            call()


SHAPES: list[tuple[str, str, tuple[int, ...], str]] = [
    ("block average 2", "D", (1, 1, 7, 8), "divisible by the scale 2, got .* shape \\(1, 1, 7, 8\\)"),
    ("block average 2", "D", (1, 1, 8, 7), "divisible by the scale 2"),
    ("block average 2", "D", (1, 8, 8), r"x must be \(B, C, H, W\)"),
    ("block average 2", "pinv", (1, 8, 8), r"y must be \(B, C, H, W\)"),
    ("CEM, random kernel", "D", (1, 1, 8, 7), "divisible by the scale 2"),
    ("CEM, random kernel", "D", (8, 8), r"x must be \(B, C, H, W\)"),
    ("CEM, random kernel", "pinv", (8, 8), r"y must be \(B, C, H, W\)"),
    ("linear", "D", (1, 23), "x must have 24 elements per sample"),
    ("linear", "pinv", (1, 24), r"y must be \(B, 20\)"),
    ("linear", "pinv", (1, 20, 1), r"y must be \(B, 20\)"),
    ("separable", "D", (1, 1, 8, 7), r"x must be \(B, C, 8, 6\)"),
    ("separable", "D", (8, 6), r"x must be \(B, C, 8, 6\)"),
    ("separable", "pinv", (1, 1, 8, 6), r"y must be \(B, C, 3, 2\)"),
    ("inpainting", "D", (1, 2, 8, 9), "x must have a shape that a mask of"),
    ("inpainting", "pinv", (1, 2, 1, 8), "y must have a shape that a mask of"),
    ("inpainting, a mask per channel", "D", (1, 3, 8, 8), "x must have a shape that a mask of"),
    ("inpainting, a mask per channel", "D", (8, 8), "x must have a shape that a mask of"),
]


@pytest.mark.parametrize(("name", "method", "shape", "message"), SHAPES)
def test_bad_shapes(name: str, method: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(CASES[name].projector, method)(torch.ones(shape))


def test_wrong_number_of_channels() -> None:
    with pytest.raises(ValueError, match=r"y must have the shape of D\(x\), \(1, 3, 4, 4\), .* got .*\(1, 1, 4, 4\)"):
        BlockAverageProjector(2).project(torch.ones(1, 3, 8, 8), torch.ones(1, 1, 4, 4))


ONE = torch.ones(2, 2)
CONSTRUCTORS: list[tuple[type[Exception], str, Callable[[], object]]] = [
    (TypeError, "scale must be an integer", lambda: BlockAverageProjector(2.0)),  # type: ignore[arg-type]
    (ValueError, "scale must be at least 1", lambda: BlockAverageProjector(0)),
    (ValueError, "scale must be at least 1", lambda: CEMProjector(ONE, 0)),
    (TypeError, "kernel must be a torch.Tensor", lambda: CEMProjector([[1.0]], 2)),  # type: ignore[arg-type]
    (TypeError, "kernel must have a real floating-point", lambda: CEMProjector(ONE.long(), 2)),
    (ValueError, "kernel must have 2 dimensions", lambda: CEMProjector(torch.ones(3), 2)),
    (ValueError, "kernel must not be empty", lambda: CEMProjector(torch.ones(0, 3), 2)),
    (ValueError, "kernel must be finite", lambda: CEMProjector(ONE * torch.nan, 2)),
    (ValueError, "kernel must have a weight other than zero", lambda: CEMProjector(0 * ONE, 2)),
    (ValueError, "rtol must be", lambda: CEMProjector(ONE, 2, rtol=-1e-3)),
    (ValueError, "rtol must be less than 1", lambda: CEMProjector(ONE, 2, rtol=1.0)),
    (ValueError, "rtol must be less than 1", lambda: LinearProjector(ONE, rtol=1.0)),
    (TypeError, "A must have a real floating-point", lambda: LinearProjector(ONE.long())),
    (ValueError, "A must have 2 dimensions", lambda: LinearProjector(torch.ones(3))),
    (ValueError, "A must be finite", lambda: LinearProjector(ONE * torch.inf)),
    (ValueError, "height must have 2 dimensions", lambda: SeparableProjector(height=torch.ones(3), width=ONE)),
    (ValueError, "width must have 2 dimensions", lambda: SeparableProjector(height=ONE, width=torch.ones(3))),
    (TypeError, "mask must be a torch.Tensor", lambda: InpaintingProjector([1, 0])),  # type: ignore[arg-type]
    (ValueError, "mask must hold ones", lambda: InpaintingProjector(ONE * 0.5)),
    (ValueError, "mask must hold ones", lambda: InpaintingProjector(ONE * torch.nan)),
    (ValueError, "mask must hold ones", lambda: InpaintingProjector(255 * ONE)),
    (ValueError, "mask must hold ones", lambda: InpaintingProjector(torch.ones(0))),
]


@pytest.mark.parametrize(("error", "message", "build"), CONSTRUCTORS)
def test_bad_settings(error: type[Exception], message: str, build: Callable[[], object]) -> None:
    with pytest.raises(error, match=message):
        build()
