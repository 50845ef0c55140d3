"""The process group: how the ranks of one job reach each other, and how fast.

NCCL between GPUs, gloo between processes on a CPU, both over this machine's own interface only.
NVLink multicast stays off: a program that ends while it uses it can leave the switch broken for
others (NCCL 2.27's ``NCCL_NVLS_ENABLE``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from ourvidz.engine.device import synchronize
from ourvidz.engine.group.plan import ForwardPlan, LinkFigures
from ourvidz.models.wan.sequence import TokenShard

_ENVIRONMENT = {
    "NCCL_NVLS_ENABLE": "0",
    "TORCH_SYMM_MEM_DISABLE_MULTICAST": "1",
    "NCCL_SOCKET_IFNAME": "lo",
    "GLOO_SOCKET_IFNAME": "lo",
    # A rank that is lost is noticed by its socket; torch's watchdog would end this process.
    "TORCH_NCCL_ASYNC_ERROR_HANDLING": "0",
}
_TIMEOUT = timedelta(minutes=5)
_ROUNDS, _REPEATS = 4, 20


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Ranks:
    """All ranks of a group as one of them sees them."""

    rank: int
    size: int
    device: torch.device
    halves: tuple[Any, ...]  # a process group for each half, for guidance; empty if it is odd

    def shard(self, plan: ForwardPlan, num_heads: int) -> TokenShard | None:
        """Return our part of a forward, None where a rank has it all."""
        assert num_heads % plan.heads == 0, (num_heads, plan)
        if plan.shards == 1:
            return None
        half = plan.branch_of(self.rank) if plan.branches > 1 else None
        return TokenShard(
            group=dist.group.WORLD if half is None else self.halves[half],
            rank=self.rank % plan.shards,
            heads=plan.heads,
            queries=plan.queries,
        )

    def broadcast(self, tensor: torch.Tensor) -> torch.Tensor:
        """Fill ``tensor`` on every rank with what rank 0 has; return it."""
        dist.broadcast(tensor, 0)
        return tensor

    def gather(self, own: torch.Tensor, lengths: list[int]) -> list[torch.Tensor]:
        """Return every rank's rows, on every rank.

        Args:
            own: (our length, ...) contiguous.
            lengths: rows of each rank.
        """
        room = own.new_zeros(max(lengths), *own.shape[1:])
        room[: len(own)] = own
        whole = own.new_empty(len(lengths), *room.shape)
        dist.all_gather_into_tensor(whole.flatten(0, 1), room)
        return [rows[:length] for rows, length in zip(whole, lengths, strict=True)]


def meeting_place(path: Path, size: int) -> Any:
    """Return a store through which ``size`` processes of this machine find each other: a file."""
    library: Any = dist
    return library.FileStore(str(path), size)


def join(*, rank: int, size: int, device: torch.device, store: Any) -> Ranks:
    """Meet the others; all ranks call this at once. Ends when all are there.

    Args:
        rank: ours.
        size: how many ranks there are.
        device: ours; a CUDA device of our own, or the CPU.
        store: where ranks find each other.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    leave()
    # Ranks find each other by this count. A start that failed has raised it here, and in a new
    # process it is zero.
    dist.distributed_c10d._world.group_count = 0
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if on_gpu else "gloo",
        store=store,
        rank=rank,
        world_size=size,
        timeout=_TIMEOUT,
        device_id=device if on_gpu else None,
    )
    # Every rank makes every group, in one order, as torch wants it.
    half = size // 2
    halves = (
        tuple(dist.new_group(list(part)) for part in (range(half), range(half, size)))
        if size % 2 == 0
        else ()
    )
    return Ranks(rank=rank, size=size, device=device, halves=halves)


def leave() -> None:
    """Give up the process group, also where others are gone. Idempotent."""
    abort()
    if dist.is_initialized():
        dist.destroy_process_group()


def abort() -> None:
    """End what waits for ranks that are gone, and the process group with it. Any thread."""
    if dist.is_initialized() and dist.get_backend() == "nccl":
        dist.distributed_c10d._abort_process_group()  # torch has no public one


@torch.inference_mode()
def measure_link(ranks: Ranks) -> LinkFigures:
    """Measure a matrix product and exchanges between all ranks; the same result on all of them.

    Takes some milliseconds on GPUs, after the connections have been made. On the thread that
    drives jobs and while it does nothing else: one that waits for the interpreter's lock would be
    measured with it.
    """
    device, size = ranks.device, ranks.size
    on_gpu = device.type == "cuda"
    side = 4096 if on_gpu else 512
    dtype = torch.bfloat16 if on_gpu else torch.float32
    a = torch.randn(side, side, device=device).to(dtype)
    many = torch.zeros(size * (2**22 if on_gpu else 2**16), device=device, dtype=dtype)
    few = many[: size * 16]
    _timed(device, lambda: a @ a)  # connections are made and clocks go up meanwhile
    times_s = [
        _timed(device, run) for run in (lambda: a @ a, _exchange_of(many), _exchange_of(few))
    ]
    found = torch.tensor(times_s, dtype=torch.float64, device=device)
    dist.all_reduce(found, dist.ReduceOp.MAX)
    product_s, many_s, few_s = found.tolist()
    sent_bytes = many.numel() * many.element_size() * (size - 1) / size
    return LinkFigures(
        flops_per_s=2.0 * side**3 / product_s,
        bytes_per_s=sent_bytes / max(many_s - few_s, many_s / 10),
        latency_s=few_s,
    )


def _exchange_of(part: torch.Tensor) -> Callable[[], object]:
    room = torch.empty_like(part)
    return lambda: dist.all_to_all_single(room, part)


def _timed(device: torch.device, run: Callable[[], object]) -> float:
    """Return the seconds of one of many calls in a row, as a step has them."""
    found: list[float] = []
    for _ in range(_ROUNDS):
        synchronize(device)
        start_s = time.perf_counter()
        for _ in range(_REPEATS):
            run()
        synchronize(device)
        found.append((time.perf_counter() - start_s) / _REPEATS)
    return min(found[1:])
