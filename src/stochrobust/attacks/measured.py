"""A measurement's search, whose values must be finite; by outputs, in groups that keep them within ``max_batch``."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from stochrobust._arguments import check_finite
from stochrobust._tensors import working
from stochrobust.attacks.ascent import Found, Method, OutputSearch, maximise, records
from stochrobust.attacks.balls import L2, Ball, Linf
from stochrobust.estimators.same_seed import Pairing, SameSeed
from stochrobust.estimators.seeds import Randomness, SampleKeys, draw_seed


def ascend(
    held: SameSeed,
    clean: Tensor,
    ball: Ball,
    attack: Method,
    centre: Tensor,
    eps: Tensor,
    generator: Randomness,
    pair: Pairing | None = None,
) -> Found:
    """A measurement's search: every value is scored and must be finite.

    ``clean`` holds the rows that the outputs are compared with: those at y in the attack's mode, or a reference.
    """
    if isinstance(attack, OutputSearch):
        return _by_outputs(held, clean, ball, attack, centre, eps, generator, pair)
    recording = records(attack)
    in_one_restart = attack.steps + 1 + (getattr(attack, "keep", "last") == "best") if hasattr(attack, "mover") else 0
    calls = 0

    def objective(delta: Tensor, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
        nonlocal calls
        step = calls % in_one_restart if in_one_restart else calls
        calls += 1
        value, gradient = held.evaluate(delta, clean, pair, with_gradient=with_gradient, recording=recording)
        check_finite(f"G's output at step {step} of the attack", value)
        if gradient is not None:
            check_finite(f"the gradient of G at step {step} of the attack", gradient)
        return value, gradient

    return maximise(objective, ball, attack, centre, eps, generator=generator)


def _by_outputs(
    held: SameSeed,
    clean: Tensor,
    ball: Ball,
    attack: OutputSearch,
    centre: Tensor,
    eps: Tensor,
    generator: Randomness,
    pair: Pairing | None,
) -> Found:
    """A search by outputs, group after group.

    Random numbers belong to samples, so that groups do not change them: without keys, to their places in the batch.
    """
    n = len(centre)
    ids = generator.ids(n) if isinstance(generator, SampleKeys) else list(range(n))
    run_seed = generator.run_seed if isinstance(generator, SampleKeys) else draw_seed(generator, n, 0)
    found = []
    for group, chunks in _groups(held, whole=not isinstance(ball, L2 | Linf)):

        def changes(delta: Tensor, group: slice = group, chunks: list[slice] = chunks) -> Tensor:
            everywhere = torch.zeros_like(centre)
            everywhere[group] = delta
            outputs = torch.cat([held.rows(everywhere, chunk).clone() for chunk in chunks])
            away_from = clean[chunks[0].start : chunks[-1].stop]
            away_from = away_from if pair is None else pair(away_from, outputs)
            change = working(outputs) - working(away_from)
            check_finite("G's output during the attack", change)
            return change.reshape(-1, held.n_seeds, *change.shape[1:])

        keys = SampleKeys(ids[group], run_seed)
        with torch.no_grad():
            of_group = _ball_of(ball, centre, group)
            found.append(attack.search_outputs(changes, of_group, centre[group], eps[group], keys))
    return found[0] if len(found) == 1 else _joined(found)


def _groups(held: SameSeed, *, whole: bool) -> list[tuple[slice, list[slice]]]:
    """The fewest whole chunks that end with a sample, over and over: samples, and their chunks of rows."""
    rows_in_chunk = held.chunks[0].stop
    together = len(held.chunks) if whole else math.lcm(rows_in_chunk, held.n_seeds) // rows_in_chunk
    parts = [held.chunks[i : i + together] for i in range(0, len(held.chunks), together)]
    return [(slice(part[0].start // held.n_seeds, part[-1].stop // held.n_seeds), part) for part in parts]


def _ball_of(ball: Ball, y: Tensor, group: slice) -> Ball:
    """The ball of some samples: bounds and masks with a row for each sample lose the others'."""
    if not isinstance(ball, L2 | Linf):
        return ball

    def rows(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(rows(part) for part in value)
        per_sample = isinstance(value, Tensor) and value.ndim == y.ndim and len(value) == len(y)
        return value[group] if per_sample else value

    return replace(ball, **{field.name: rows(getattr(ball, field.name)) for field in fields(ball)})


def _joined(found: list[Found]) -> Found:
    """One result of all groups."""
    parts = {field.name: [getattr(one, field.name) for one in found] for field in fields(Found)}
    across = {"trace", "restart_values"}
    return Found(**{name: torch.cat(part, dim=1 if name in across else 0) for name, part in parts.items()})
