"""Projection without a matrix: the same as with one, its gradients, its tolerance, what A may return."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stochrobust import LinearProjector, OperatorProjector, consistency_psnr
from stochrobust.consistency import Projector
from stochrobust.consistency.operator import least_squares

LIKE = torch.zeros(1, 6)


def matrix(rows: int, columns: int, rank: int | None = None) -> Tensor:
    generator = torch.Generator().manual_seed(rows)
    left = torch.randn(rows, rank or columns, dtype=torch.float64, generator=generator)
    return left @ torch.randn(rank or columns, columns, dtype=torch.float64, generator=generator) if rank else left


def pair(A: Tensor, **options: Any) -> tuple[OperatorProjector, LinearProjector]:
    return OperatorProjector(lambda x: x @ A.T, lambda y: y @ A, like=LIKE, **options), LinearProjector(A)


@pytest.mark.parametrize("A", [matrix(4, 6), matrix(6, 6), matrix(9, 6), matrix(5, 6, rank=3), matrix(9, 6, rank=2)])
def test_it_is_the_projector_of_the_matrix(A: Tensor) -> None:
    ours, exact = pair(A, rtol=1e-12)
    x, y = torch.randn(3, 6, dtype=torch.float64), torch.randn(3, len(A), dtype=torch.float64)
    torch.testing.assert_close(ours.D(x), exact.D(x))
    torch.testing.assert_close(ours.pinv(y), exact.pinv(y))
    torch.testing.assert_close(ours.project(x, y), exact.project(x, y))
    torch.testing.assert_close(ours.residual(x, y), exact.residual(x, y))
    assert isinstance(ours, Projector)


@pytest.mark.parametrize("given", [True, False])
def test_autograd_gives_the_adjoint_where_none_is_given(given: bool) -> None:
    A = matrix(4, 6)
    ours = OperatorProjector(lambda x: x @ A.T, (lambda y: y @ A) if given else None, like=LIKE)
    y = torch.randn(2, 4, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(ours.pinv(y), LinearProjector(A).pinv(y))
    with torch.inference_mode():
        torch.testing.assert_close(ours.pinv(y), LinearProjector(A).pinv(y))


@pytest.mark.parametrize("A", [matrix(4, 6), matrix(9, 6), matrix(5, 6, rank=3)])
def test_gradients_are_those_of_the_matrix_and_need_no_differentiable_map(A: Tensor) -> None:
    ours = OperatorProjector(lambda x: x.detach() @ A.T, lambda y: y.detach() @ A, like=LIKE, rtol=1e-13)
    x = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    y = torch.randn(2, len(A), dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 6, dtype=torch.float64)
    found, expected = (
        torch.autograd.grad((p.project(x, y) * weights).sum(), (x, y)) for p in (ours, LinearProjector(A))
    )
    for ours_, exact in zip(found, expected, strict=True):
        torch.testing.assert_close(ours_, exact, rtol=1e-6, atol=1e-9)
    assert torch.autograd.gradcheck(ours.pinv, (y,), atol=1e-4)
    assert torch.autograd.gradgradcheck(ours.pinv, (y,), atol=1e-4)


def test_it_works_in_float64_whatever_comes() -> None:
    A = matrix(4, 6)
    ours, exact = pair(A)
    x, y = torch.randn(3, 6), torch.randn(3, 4)
    assert ours.project(x, y).dtype == torch.float32
    torch.testing.assert_close(ours.project(x, y), exact.project(x, y), rtol=0, atol=1e-6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(ours.project(x, y), exact.project(x, y), rtol=0, atol=1e-6)


def test_the_dtype_is_what_the_map_is_called_with() -> None:
    seen = set()

    def halving(x: Tensor) -> Tensor:
        seen.add(x.dtype)
        return x / 2

    OperatorProjector(halving, halving, like=LIKE, dtype=torch.float32).pinv(torch.ones(1, 6))
    assert seen == {torch.float32}


def test_samples_do_not_change_each_other() -> None:
    ours, _ = pair(matrix(4, 6), rtol=1e-3)
    y = torch.randn(3, 4, dtype=torch.float64) * torch.tensor([[1.0], [1e6], [0.0]])
    torch.testing.assert_close(ours.pinv(y), torch.cat([ours.pinv(row[None]) for row in y]), rtol=1e-12, atol=0)
    assert not ours.pinv(y)[2].any()


def test_the_tolerance_is_kept_and_a_warning_says_where_it_is_not() -> None:
    A = torch.diag(torch.logspace(0, -3, 6, dtype=torch.float64))
    y = torch.ones(1, 6, dtype=torch.float64)
    steps = []
    for rtol in (1e-1, 1e-8):
        calls: list[int] = []

        def counted(x: Tensor, calls: list[int] = calls) -> Tensor:
            calls.append(1)
            return x @ A

        x, reached = least_squares(counted, lambda y: y @ A, y, rtol, 1000)
        slope = ((y - x @ A) @ A).norm() / (y @ A).norm()
        assert float(slope) <= rtol * (1 + 1e-6)
        assert reached <= rtol
        steps.append(len(calls))
    assert steps[0] < steps[1]
    ours, _ = pair(A, max_steps=2)
    with pytest.warns(RuntimeWarning, match=r"2 steps of conjugate gradients reached .*, not rtol=1e-08"):
        ours.pinv(y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pair(matrix(4, 6))[0].pinv(torch.ones(1, 4))


def test_what_is_consistent_already_stays_without_a_warning() -> None:
    A = matrix(4, 6)
    calls: list[int] = []

    def counted(x: Tensor) -> Tensor:
        calls.append(1)
        return x @ A.T.float()

    ours = OperatorProjector(counted, lambda y: y @ A.float(), like=LIKE, rtol=1e-5, dtype=torch.float32)
    x, y = torch.randn(3, 6), torch.randn(3, 4)
    once = LinearProjector(A).project(x, y)  # y - A once is rounding
    calls.clear()
    torch.testing.assert_close(ours.project(once, y), once, rtol=0, atol=1e-5)
    assert len(calls) == 1  # the residual, and no step of an iteration
    whole = torch.ones(1, 4, dtype=torch.float64)
    left = torch.tensor([[1e-9, -1e-9, 1e-9, 1e-9]], dtype=torch.float64)
    maps = (lambda x: x @ A.T), (lambda y: y @ A)
    assert not least_squares(*maps, left, 1e-5, 100, of=whole)[0].any()
    assert least_squares(*maps, left, 1e-5, 100)[0].any()
    # A residual that matters is solved to a share of y, in fewer steps than to a share of itself.
    torch.testing.assert_close(least_squares(*maps, whole, 1e-12, 100, of=left)[0], LinearProjector(A).pinv(whole))


def test_masked_fourier_samples_are_a_complex_y() -> None:
    mask = torch.rand(8, 8, generator=torch.Generator().manual_seed(0)) < 0.4

    def A(x: Tensor) -> Tensor:
        samples: Tensor = torch.fft.fft2(x, norm="ortho")[..., mask]
        return samples

    def adjoint(y: Tensor) -> Tensor:
        full = torch.zeros(*y.shape[:-1], 8, 8, dtype=y.dtype)
        full[..., mask] = y
        image: Tensor = torch.fft.ifft2(full, norm="ortho").real
        return image

    x = torch.rand(2, 1, 8, 8, dtype=torch.float64)
    y = torch.view_as_real(A(torch.rand(2, 1, 8, 8, dtype=torch.float64)))
    for ours in (OperatorProjector(A, adjoint, like=x[:1]), OperatorProjector(A, like=x[:1])):
        assert ours.D(x).shape == y.shape == (2, 1, int(mask.sum()), 2)
        torch.testing.assert_close(torch.view_as_real(A(ours.project(x, y))), y, rtol=0, atol=1e-7)
        assert consistency_psnr(ours.project(x, y), y, ours).raw.min() > 120


def test_several_measurements_are_one_y() -> None:
    first, second = matrix(2, 6), matrix(3, 6)
    complex_ = torch.complex(second, second.flip(0))
    both = [lambda x: [x @ first.T, x.to(complex_.dtype) @ complex_.T], None]
    both[1] = lambda y: y[0] @ first + (y[1] @ complex_.conj()).real
    stacked = torch.cat([first, torch.view_as_real(complex_.T).permute(1, 2, 0).reshape(6, 6)])
    x, y = torch.randn(2, 6, dtype=torch.float64), torch.randn(2, 8, dtype=torch.float64)
    exact = LinearProjector(stacked).project(x, y)
    for adjoint in (both[1], None):
        ours = OperatorProjector(both[0], adjoint, like=LIKE, rtol=1e-12)  # type: ignore[arg-type]
        torch.testing.assert_close(ours.D(x), x @ stacked.T)
        torch.testing.assert_close(ours.project(x, y), exact)


def test_a_module_is_not_cast_with_the_model_around() -> None:
    blur = nn.Conv2d(1, 1, 3, bias=False).double()
    projector = OperatorProjector(blur, like=torch.zeros(1, 1, 6, 6))
    model = nn.Sequential(projector).half()
    assert blur.weight.dtype == torch.float64
    assert not list(model.parameters())
    y = torch.rand(1, 1, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(blur(projector.pinv(y)), y, rtol=0, atol=1e-6)


def test_it_says_what_it_is() -> None:
    assert repr(pair(matrix(4, 6))[0]) == "OperatorProjector(x=(6,), y=(4,), rtol=1e-08, max_steps=1000)"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: OperatorProjector(3, like=LIKE), TypeError, "A must be callable"),  # type: ignore[arg-type]
        (lambda: OperatorProjector(lambda x: x, 3, like=LIKE), TypeError, "adjoint must be callable"),  # type: ignore[arg-type]
        (lambda: OperatorProjector(lambda x: x, like=3), TypeError, "like must be"),  # type: ignore[arg-type]
        (lambda: OperatorProjector(lambda x: x, like=LIKE, rtol=1.0), ValueError, "rtol must be less than 1"),
        (lambda: OperatorProjector(lambda x: x, like=LIKE, max_steps=0), ValueError, "max_steps must be at least 1"),
        (lambda: OperatorProjector(lambda x: x + 1, lambda y: y, like=LIKE), ValueError, "A must be linear"),
        (lambda: OperatorProjector(lambda x: x, lambda y: 2 * y, like=LIKE), ValueError, "adjoint must be the adjoint"),
        (lambda: OperatorProjector(lambda x: x, lambda y: y[:, :2], like=LIKE), ValueError, "adjoint must return"),
        (lambda: OperatorProjector(lambda x: 1.0, like=LIKE), TypeError, "A must return a tensor or a list"),
        (lambda: pair(matrix(4, 6))[0].D(torch.zeros(1, 5)), ValueError, r"x must be \(B, 6\)"),
        (lambda: pair(matrix(4, 6))[0].pinv(torch.zeros(1, 5)), ValueError, r"y must be \(B, 4\)"),
        (
            lambda: OperatorProjector.from_deepinv(nn.Identity(), like=LIKE),
            TypeError,
            "physics must be a linear physics",
        ),
    ],
)
def test_what_does_not_fit_is_named(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


# -- deepinv itself ----------------------------------------------------------------------------------------------------


def physics_of(deepinv: Any, name: str) -> Any:
    """One of deepinv's linear physics on a 16 x 16 image, of one channel except for demosaicing."""
    physics, size = deepinv.physics, (1, 16, 16)
    kernel = torch.tensor([[[[0.0, 0.1, 0.0], [0.1, 0.6, 0.1], [0.0, 0.1, 0.0]]]])
    makers = {
        "inpainting": lambda: physics.Inpainting(size, mask=0.6),
        "blur": lambda: physics.Blur(kernel, padding="circular"),
        "blur-fft": lambda: physics.BlurFFT(size, kernel),
        "downsampling": lambda: physics.Downsampling(img_size=size, factor=2, filter="bicubic"),
        "demosaicing": lambda: physics.Demosaicing((3, 16, 16)),
        "compressed-sensing": lambda: physics.CompressedSensing(m=40, img_size=size),
        "tomography": lambda: physics.Tomography(angles=12, img_width=16, normalize=True),
        "single-pixel": lambda: physics.SinglePixelCamera(m=40, img_size=size),
        "stacked": lambda: physics.stack(physics.Inpainting(size, mask=0.5), physics.Blur(kernel, padding="circular")),
        "mri": lambda: physics.MRI(mask=(torch.rand(1, 1, 16, 16) < 0.4).float(), img_size=(2, 16, 16)),
    }
    return makers[name]()


@pytest.mark.parametrize(
    "name",
    [
        "inpainting",
        "blur",
        "blur-fft",
        "downsampling",
        "demosaicing",
        "compressed-sensing",
        "single-pixel",
        "tomography",
        "stacked",
        "mri",
    ],
)
def test_every_linear_physics_of_deepinv_is_a_projector(name: str) -> None:
    deepinv = pytest.importorskip("deepinv", reason="deepinv is not installed")
    torch.manual_seed(0)
    physics = physics_of(deepinv, name)
    channels = {"demosaicing": 3, "mri": 2}.get(name, 1)
    x, other = torch.rand(2, 2, channels, 16, 16)
    rtol = (
        1e-6 if name == "tomography" else 1e-5
    )  # which is ill-conditioned: more is left of y where the slope is small
    ours = OperatorProjector.from_deepinv(physics, like=x[:1], rtol=rtol)
    y = ours.D(other)  # in the range of A
    assert consistency_psnr(ours.project(x, y), y, ours, data_range=float(y.abs().max())).raw.min() > 80
    assert F.mse_loss(ours.project(ours.project(x, y), y), ours.project(x, y)) < 1e-6


def test_a_module_in_float32_is_told_the_dtype() -> None:
    torch.manual_seed(0)
    conv, x = torch.nn.Conv2d(1, 1, 3, bias=False), torch.rand(1, 1, 6, 6)
    adjoint = functools.partial(torch.nn.functional.conv_transpose2d, weight=conv.weight)
    for given in (None, adjoint):
        with pytest.raises(ValueError, match=r"float64 and failed \(.+\).*pass dtype=torch\.float32, and rtol=1e-5"):
            OperatorProjector(conv, given, like=x)
        projector = OperatorProjector(conv, given, like=x, dtype=torch.float32, rtol=1e-5)
        y = torch.rand(1, 1, 4, 4)
        torch.testing.assert_close(conv(projector.project(x, y)), y, rtol=0.0, atol=1e-3)


def test_an_error_of_another_kind_is_left_as_it_is() -> None:
    def A(x: Tensor) -> Tensor:
        raise RuntimeError("out of ink")

    with pytest.raises(RuntimeError, match=r"^out of ink$"):
        OperatorProjector(A, like=torch.rand(1, 4))


@pytest.mark.parametrize("array", [lambda x: x.numpy(), lambda x: x.detach().numpy()])
def test_a_map_without_gradient_is_asked_for_its_adjoint(array: Callable[[Tensor], Any]) -> None:
    def A(x: Tensor) -> Tensor:
        return torch.from_numpy(2 * array(x))

    with pytest.raises(ValueError, match=r"A carries no gradient.*give adjoint="):
        OperatorProjector(A, like=torch.rand(1, 4))
    projector = OperatorProjector(A, lambda y: 2 * y, like=torch.rand(1, 4))
    torch.testing.assert_close(projector.project(torch.zeros(1, 4), torch.ones(1, 4)), torch.full((1, 4), 0.5))
