"""Restorers in JAX: the same numbers and gradients as in torch, their keys, what does not fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from stochrobust import EVALUATION, SampleKeys, from_jax, linearised_sensitivity, sensitivity

jax = pytest.importorskip("jax", reason="jax is not installed")
jnp = jax.numpy

A = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
Y = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))


def in_torch(y: Tensor) -> Tensor:
    return (y @ A.T).tanh()


def in_jax(y: Any) -> Any:
    return jnp.tanh(y @ jnp.asarray(A.numpy()).T)


def noisy(y: Any, keys: Any) -> Any:
    return 2 * y + jax.vmap(lambda key: jax.random.normal(key, y.shape[1:]))(keys)


def test_outputs_and_gradients_are_those_of_torch() -> None:
    G = from_jax(in_jax)
    torch.testing.assert_close(G(Y), in_torch(Y), rtol=1e-5, atol=1e-6)
    grads = []
    for function in (G, in_torch):
        y = Y.clone().requires_grad_()
        grads.append(torch.autograd.grad((function(y) ** 2).sum(), y)[0])
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-4, atol=1e-6)
    assert not G(Y).requires_grad


def test_measurements_by_gradients_are_those_of_torch() -> None:
    here, there = (
        sensitivity(G, Y, 0.3, attack=EVALUATION, generator=SampleKeys(range(3))) for G in (from_jax(in_jax), in_torch)
    )
    torch.testing.assert_close(here.value, there.value, rtol=1e-3, atol=0)
    assert here.concerns == ()
    torch.testing.assert_close(
        linearised_sensitivity(from_jax(lambda y: y @ jnp.asarray(A.numpy()).T), Y, 1.0).value,
        torch.linalg.matrix_norm(A, 2).square().expand(3), rtol=1e-3, atol=0,
    )  # fmt: skip


def test_it_is_compiled_once_for_a_shape() -> None:
    traced = []

    def counted(y: Any) -> Any:
        traced.append(y.shape)
        return 2 * y

    G = from_jax(counted)
    for _ in range(3):
        G(Y)
    G(Y[:1])
    assert traced == [(3, 4), (1, 4)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_results_have_ys_dtype(dtype: torch.dtype) -> None:
    assert from_jax(in_jax)(Y.to(dtype)).dtype == dtype


def test_y_may_change_afterwards() -> None:
    y = Y.clone().requires_grad_()
    x_hat = from_jax(lambda y: y * y)(y)
    with torch.no_grad():
        y.zero_()
    torch.testing.assert_close(x_hat.detach(), Y * Y)
    torch.testing.assert_close(torch.autograd.grad(x_hat.sum(), y)[0], 2 * Y)


def test_keys_are_the_seeds() -> None:
    G = from_jax(noisy, keys=True)
    z = G.sample_z(Y, torch.Generator().manual_seed(0))  # type: ignore[attr-defined]
    assert z.shape == (3, 2)
    torch.testing.assert_close(G(Y, z), G(Y, z), rtol=0, atol=0)
    assert not torch.allclose(G(Y, z), G(Y, z.flip(0)))
    expected = noisy(jnp.asarray(Y.numpy()), jnp.asarray(z.numpy().astype("uint32")))
    torch.testing.assert_close(G(Y, z), torch.utils.dlpack.from_dlpack(expected).clone(), rtol=1e-5, atol=1e-6)
    found = sensitivity(G, Y, 0.1, 4, generator=SampleKeys(range(3)))
    torch.testing.assert_close(found.gain, torch.full((3,), 2.0), rtol=1e-3, atol=0)
    assert found.held_out
    assert not hasattr(from_jax(in_jax), "sample_z")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: from_jax(3), "fn must be callable"),  # type: ignore[arg-type]
        (lambda: from_jax(in_jax, keys=1), "keys must be"),  # type: ignore[arg-type]
        (lambda: from_jax(lambda y: y > 0)(Y), "fn must return a floating-point array, got bool"),
        (lambda: from_jax(lambda y: (y, y))(Y), "fn must return a floating-point array, got tuple"),
    ],
)
def test_what_does_not_fit_is_named(make: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()
