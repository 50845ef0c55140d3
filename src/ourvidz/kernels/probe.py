"""Which of several equal ways is fastest on this machine: measured once, then remembered.

A winner is keyed by what decides it: GPU, software versions, dtype and shape; never by an address
in memory. It is kept in memory, and in a JSON file where a cache folder is given.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from ourvidz.kernels.attention import attention
from ourvidz.kernels.attention_ways import Attend

Run = Callable[[], None]
Timer = Callable[[Run], float]

_FILE_NAME = "kernel-choices.json"
_MOST_ERROR = 0.08  # relative L2 on Gaussian inputs; the coarsest 8-bit products lose 5 %
_WARM_UPS = 2
_REPEATS = 5

_lock = threading.Lock()
_choices: dict[str, dict[str, Any]] = {}


def choose(
    name: str,
    candidates: Mapping[str, Run],
    *,
    key: Mapping[str, str | int],
    cache: Path | None = None,
    timer: Timer | None = None,
) -> str:
    """Return the name of the fastest candidate, measured the first time that it is asked for.

    Args:
        name: what is chosen, for example ``attention``.
        candidates: what to run under each name; all give the same result. One that raises is
            passed over, and its reason is kept (see ``explain``).
        key: what the answer depends on besides the candidates' names: hardware, versions, dtype,
            shape. ``machine_key`` gives the first part.
        cache: the folder of the file of answers; None keeps them in memory only.
        timer: returns the seconds of one run; by default CUDA events, the median of 5 after 2
            warm-ups.

    Raises:
        ValueError: there are no candidates.
        RuntimeError: every candidate raised.
    """
    if not candidates:
        raise ValueError(f"{name}: nothing to choose from")
    entry_key = _entry_key(name, candidates, key)
    with _lock:  # two measurements at once would disturb each other
        found = _choices.get(entry_key) or _remembered(cache, entry_key, candidates)
        if found is None:
            found = _measure(name, candidates, timer or time_on_gpu)
            if cache is not None:
                _write(cache, entry_key, found)
        _choices[entry_key] = found
        return found["winner"]


def explain(
    name: str, candidates: Sequence[str] | Mapping[str, Run], *, key: Mapping[str, str | int]
) -> Mapping[str, Any] | None:
    """Return what ``choose`` measured: ``winner``, ``seconds`` and ``failures`` by name."""
    with _lock:
        return _choices.get(_entry_key(name, candidates, key))


def forget() -> None:
    """Drop what is kept in memory; files stay."""
    with _lock:
        _choices.clear()


def machine_key(device: torch.device) -> dict[str, str | int]:
    """Return what of this machine decides a kernel's speed."""
    properties = torch.cuda.get_device_properties(device)
    return {
        "gpu": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "torch": torch.__version__,
        "triton": _version("triton"),
        "cudnn": torch.backends.cudnn.version() or 0,
    }


def fastest_attention(
    ways: Mapping[str, Attend],
    q_shape: tuple[int, int, int, int],
    dtype: torch.dtype,
    device: torch.device,
    *,
    len_k: int | None = None,
    cache: Path | None = None,
    timer: Timer | None = None,
) -> str:
    """Return the name of the fastest of some ways to run attention of one shape.

    One whose result is wrong is passed over like one that raises.

    Args:
        ways: by name (``attention_ways``); a single one is not measured.
        q_shape: (B, Lq, H, D).
        dtype: of queries, keys and values.
        device: where they are; elsewhere than on CUDA the first way is taken, unmeasured.
        len_k: number of keys; as many as queries where it is left out.
        cache: see ``choose``.
        timer: see ``choose``.
    """
    if device.type != "cuda" or len(ways) == 1:
        return next(iter(ways))
    num_items, len_q, num_heads, head_dim = q_shape
    keys = len_q if len_k is None else len_k
    key: dict[str, str | int] = {
        **machine_key(device),
        "dtype": str(dtype),
        "shape": f"{num_items}x{len_q}x{keys}x{num_heads}x{head_dim}",
    }
    with torch.inference_mode():
        q = torch.randn(q_shape, dtype=dtype, device=device)
        k = torch.randn(num_items, keys, num_heads, head_dim, dtype=dtype, device=device)
        v = torch.randn_like(k)
        exact = attention(q, k, v)
        runs = {name: _checked(partial(way, q, k, v), exact) for name, way in ways.items()}
        return choose("attention", runs, key=key, cache=cache, timer=timer)


def time_on_gpu(run: Run) -> float:
    """Return the seconds of one run by CUDA events: the median of 5 after 2 warm-ups."""
    for _ in range(_WARM_UPS):
        run()
    seconds = []
    for _ in range(_REPEATS):
        start = torch.cuda.Event(enable_timing=True)
        end = torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        end.synchronize()
        seconds.append(start.elapsed_time(end) / 1e3)
    return statistics.median(seconds)


def _checked(run: Callable[[], torch.Tensor], expected: torch.Tensor) -> Run:
    """Return a run that raises, the first time, where its result is off by more than rounding."""
    is_checked = False

    def checked() -> None:
        nonlocal is_checked
        out = run()
        if not is_checked:
            error = (out.float() - expected.float()).norm() / expected.float().norm()
            if not error <= _MOST_ERROR:  # neither larger nor no number
                raise ArithmeticError(f"relative error {error.item():.3f}")
            is_checked = True

    return checked


def _measure(name: str, candidates: Mapping[str, Run], timer: Timer) -> dict[str, Any]:
    seconds: dict[str, float] = {}
    failures: dict[str, str] = {}
    for candidate, run in candidates.items():
        try:
            seconds[candidate] = timer(run)
        except Exception as error:  # noqa: BLE001 - whatever a compiler or driver refuses with
            failures[candidate] = f"{type(error).__name__}: {error}"[:500]
    if not seconds:
        raise RuntimeError(f"{name}: no candidate ran: {failures}")
    winner = min(seconds, key=lambda candidate: seconds[candidate])
    return {"winner": winner, "seconds": seconds, "failures": failures}


def _entry_key(
    name: str, candidates: Sequence[str] | Mapping[str, Run], key: Mapping[str, str | int]
) -> str:
    return json.dumps([name, sorted(candidates), dict(key)], sort_keys=True)


def _remembered(
    folder: Path | None, entry_key: str, candidates: Mapping[str, Run]
) -> dict[str, Any] | None:
    found = _read(folder).get(entry_key) if folder is not None else None
    is_entry = isinstance(found, dict) and found.get("winner") in list(candidates)
    return found if is_entry else None


def _read(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / _FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # absent, cut off or not ours: measure again
    return content if isinstance(content, dict) else {}


def _write(folder: Path, entry_key: str, entry: Mapping[str, Any]) -> None:
    """Add one entry. Readers see the old file or the new one; a full disk costs a measurement."""
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        content = json.dumps({**_read(folder), entry_key: entry}, indent=1)
        handle, path = tempfile.mkstemp(dir=folder, prefix=f".{_FILE_NAME}-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(content)
            Path(path).replace(folder / _FILE_NAME)
        except OSError:
            Path(path).unlink(missing_ok=True)
            raise


@cache
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"
