"""Two processes of one distributed group, on this machine."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import torch.distributed as dist
import torch.multiprocessing as mp


def in_two_processes(work: Callable[..., Any], *args: Any, seconds: float = 120) -> Any:
    """What ``work(rank, *args)`` returns in the process of rank 0; a function of a module, and a value that pickles."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = mp.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=_process, args=(rank, port, results, work, args)) for rank in range(2)]
    for worker in workers:
        worker.daemon = True  # a worker whose partner failed must not keep pytest waiting
        worker.start()
    _await(workers, seconds)
    return results.get(timeout=10)


def _process(rank: int, port: int, results: Any, work: Callable[..., Any], args: tuple[Any, ...]) -> None:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    try:
        result = work(rank, *args)
        if rank == 0:
            results.put(result)
        dist.barrier()
    finally:
        dist.destroy_process_group()


def _await(workers: list[Any], seconds: float) -> None:
    """Wait for all; when one fails, the others would wait for it for ever, and are stopped."""
    deadline = time.monotonic() + seconds
    while any(worker.is_alive() for worker in workers):
        if time.monotonic() > deadline or any(worker.exitcode for worker in workers):
            for worker in workers:
                worker.kill()
        time.sleep(0.05)
    assert [worker.exitcode for worker in workers] == [0, 0]
