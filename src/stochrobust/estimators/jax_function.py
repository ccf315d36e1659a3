"""Restorers written in JAX, with their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from stochrobust._arguments import check_truth, describe


def from_jax(fn: Callable[..., Any], *, keys: bool = False) -> Callable[..., Tensor]:
    """A JAX function ``fn(y) -> x_hat`` as an estimator of tensors, ``G(y)``, or ``G(y, z)`` with ``keys=True``.

    It is compiled once for each shape (``jax.jit``), and differentiated in y by ``jax.vjp``, once: attacks by gradients
    and :func:`~stochrobust.linearised_sensitivity` work. Its parameters are constants here, so that there is nothing
    for :func:`~stochrobust.robustness_loss` to train. Arrays cross by DLPack and are on y's device. JAX computes in
    float32 unless its ``jax_enable_x64`` is set; results have y's dtype.

    Args:
        fn: takes an array, batch first, and returns one; with ``keys=True``, ``fn(y, keys)``.
        keys: whether fn takes its noise as keys, ``uint32`` of shape (N, 2), one per row; then z is one.

    Returns:
        The estimator.

    Raises:
        TypeError: fn is not callable, or returns no floating-point array.
        ModuleNotFoundError: JAX is not installed.

    Example:
        >>> import importlib.util
        >>> import torch
        >>> from stochrobust import sensitivity
        >>> if importlib.util.find_spec("jax"):
        ...     import jax.numpy as jnp
        ...     found = sensitivity(from_jax(lambda y: 3 * jnp.tanh(y)), torch.zeros(1, 2), eps=1e-3)
        ...     assert abs(found.gain.item() - 3) < 1e-3

    Source: the documentation of ``jax.vjp`` and of ``torch.autograd.Function``.
    """
    if not callable(fn):
        raise TypeError(f"fn must be callable as fn(y), got {describe(fn)}")
    check_truth("keys", keys)
    import jax

    return _Keyed(jax.jit(fn)) if keys else _Plain(jax.jit(fn))


class _Plain:
    """``G(y)``."""

    def __init__(self, compiled: Callable[..., Any]) -> None:
        self.compiled = compiled

    def __call__(self, y: Tensor, *keys: Tensor) -> Tensor:
        applied: Tensor = _Crossing.apply(y, self.compiled, [_to_jax(key.to(torch.uint32)) for key in keys])  # type: ignore[no-untyped-call]
        return applied


class _Keyed(_Plain):
    """``G(y, z)``, where z are the keys as integers: (N, 2), below 2^32."""

    def sample_z(self, y: Tensor, generator: torch.Generator | None) -> Tensor:
        """Keys for each row."""
        device = torch.device("cpu") if generator is None else generator.device
        return torch.randint(2**32, (len(y), 2), generator=generator, device=device).to(y.device)


class _Crossing(torch.autograd.Function):
    """``fn(y, *keys)``, whose gradient JAX takes."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, compiled: Callable[..., Any], keys: list[Any]) -> Tensor:
        import jax

        ctx.dtype, array = y.dtype, _to_jax(y)
        if ctx.needs_input_grad[0]:
            x_hat, ctx.pull = jax.vjp(lambda value: compiled(value, *keys), array)
        else:
            x_hat = compiled(array, *keys)
        if not isinstance(x_hat, jax.Array) or x_hat.dtype.kind not in "fV":  # V: bfloat16
            raise TypeError(
                f"fn must return a floating-point array, got {getattr(x_hat, 'dtype', type(x_hat).__name__)}"
            )
        ctx.jax_dtype = x_hat.dtype
        return _to_torch(x_hat).to(y.dtype)

    @staticmethod
    def backward(ctx: Any, *arrived: Tensor) -> tuple[Tensor, None, None]:
        pulled: Tensor = _Pulled.apply(arrived[0], ctx.pull, ctx.jax_dtype, ctx.dtype)  # type: ignore[no-untyped-call]
        return pulled, None, None


class _Pulled(torch.autograd.Function):
    """``J^T u`` at the y of a pass, whose own gradient in u is ``J v``; in y it has none."""

    @staticmethod
    def forward(ctx: Any, arrived: Tensor, pull: Callable[[Any], Any], jax_dtype: Any, dtype: torch.dtype) -> Tensor:
        ctx.pull, ctx.dtype, ctx.array = pull, arrived.dtype, _to_jax(arrived).astype(jax_dtype)
        (gradient,) = pull(ctx.array)
        ctx.jax_dtype = gradient.dtype
        return _to_torch(gradient).to(dtype)

    @staticmethod
    def backward(ctx: Any, *vectors: Tensor) -> tuple[Tensor, None, None, None]:
        import jax

        push = jax.linear_transpose(ctx.pull, ctx.array)
        (pushed,) = push((_to_jax(vectors[0]).astype(ctx.jax_dtype),))
        return _to_torch(pushed).to(ctx.dtype), None, None, None


def _to_jax(tensor: Tensor) -> Any:
    """A copy: JAX takes arrays for constant, tensors change."""
    import jax

    return jax.numpy.from_dlpack(tensor.detach().contiguous().clone())


def _to_torch(array: Any) -> Tensor:
    return torch.utils.dlpack.from_dlpack(array).clone()
