"""Protocol runs that the service starts: a process of their own, one at a time.

The process holds a lock on a file for as long as it lives, so that every server of this machine
knows whether one runs, and a server that starts anew finds it still running. It measures through
the service's own address, as any client would.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from ourvidz.catalog.config import Settings
from ourvidz.core.errors import Crashed, IllegalState, NotFound
from ourvidz.core.files import atomic_path, disk_errors_as_ours
from ourvidz.core.redact import without_paths
from ourvidz.perf.protocol.results import REPORT

_log = logging.getLogger(__name__)

KEY_VARIABLE = "OURVIDZ_API_KEY"  # where `ourvidz bench run --url` finds its key
_FOLDER = "benchmarks"  # within the data directory
_LOCK, _STATE, _OUT, _ERR = ".service.lock", ".service.json", ".service.out", ".service.err"
_RUN_ID = re.compile(r"\bbench_[0-9a-z]{26}\b")
_READ_BYTES = 64 * 1024
_TRIES, _PAUSE_S = 5, 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What is to be measured."""

    suite: str
    job_types: tuple[str, ...]  # empty: all
    preset: str
    seed: int
    is_forced: bool  # although pre-flight refuses


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """The last run that a service started here."""

    pid: int
    started_at: str
    suite: str
    job_types: tuple[str, ...]
    preset: str
    seed: int
    is_running: bool
    run_id: str | None  # None until it has passed pre-flight
    error: Mapping[str, Any] | None  # of one that ended with one


def command_of(wanted: Wanted, url: str) -> list[str]:
    """Return the command line of a run."""
    command = [sys.executable, "-m", "ourvidz.cli", "bench", "run", "--url", url]
    command += ["--suite", wanted.suite, "--preset", wanted.preset, "--seed", str(wanted.seed)]
    if wanted.job_types:
        command += ["--job-types", ",".join(wanted.job_types)]
    if wanted.is_forced:
        command.append("--force")
    return [*command, "--json"]


class Benchmarks:
    """Starts, watches and cancels. For several threads and several servers of one machine."""

    def __init__(self, settings: Settings) -> None:
        self.directory = settings.data_dir / _FOLDER
        self._environment = {
            "OURVIDZ_DATA_DIR": str(settings.data_dir.absolute()),
            "OURVIDZ_PROFILE": settings.profile,
        }

    def start(
        self,
        wanted: Wanted,
        *,
        url: str,
        make_secret: Callable[[], str | None],
        now: str,
        on_end: Callable[[], None],
    ) -> Started:
        """Start a run.

        Args:
            wanted: what is to be measured.
            url: the service's own.
            make_secret: makes an API key for it; None where none is needed. Not called if one runs.
            now: ISO 8601.
            on_end: called once the process has ended, on a thread of its own.

        Raises:
            IllegalState: one runs already.
            OutputUnwritable, DiskFull: the folder of runs.
        """
        with disk_errors_as_ours(self.directory), contextlib.ExitStack() as stack:
            self.directory.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(self._path(_LOCK).open("ab"))
            _take(lock)
            out = stack.enter_context(self._path(_OUT).open("wb"))
            err = stack.enter_context(self._path(_ERR).open("wb"))
            secret = make_secret()
            process = subprocess.Popen(
                command_of(wanted, url),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={
                    **os.environ,
                    **self._environment,
                    **({KEY_VARIABLE: secret} if secret else {}),
                },
                pass_fds=(lock.fileno(),),  # the lock lives as long as the process
                start_new_session=True,  # a Ctrl-C for the service is none for the run
            )
            state = {**asdict(wanted), "pid": process.pid, "started_at": now}
            with atomic_path(self._path(_STATE)) as partial:
                partial.write_text(json.dumps(state), encoding="utf-8")
        threading.Thread(
            target=_see_off, args=(process, on_end), name="benchmark", daemon=True
        ).start()
        found = self.last()
        assert found is not None
        return found

    def last(self) -> Started | None:
        """Return the last run that was started here; None where there was none."""
        try:
            state = json.loads(self._path(_STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        is_running = self._is_locked()
        run_id = self._run_id()
        return Started(
            pid=state["pid"],
            started_at=state["started_at"],
            suite=state["suite"],
            job_types=tuple(state["job_types"]),
            preset=state["preset"],
            seed=state["seed"],
            is_running=is_running,
            run_id=run_id,
            error=None if is_running else self._error(run_id),
        )

    def is_active(self, run_id: str) -> bool:
        """Whether that run is the one that runs."""
        last = self.last()
        return last is not None and last.is_running and last.run_id == run_id

    def cancel(self) -> Started:
        """Ask the run that runs to stop; what ended until then is kept.

        Raises:
            NotFound: none runs.
        """
        last = self.last()
        if last is None or not last.is_running:
            raise NotFound("No benchmark runs.", hint="GET /api/v1/benchmarks lists those kept.")
        with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
            os.kill(last.pid, signal.SIGTERM)
        return last

    def _path(self, name: str) -> Path:
        return self.directory / name

    def _is_locked(self) -> bool:
        try:
            with self._path(_LOCK).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False

    def _run_id(self) -> str | None:
        found = _RUN_ID.search(self._tail(_ERR, whence=os.SEEK_SET))
        return found.group() if found else None

    def _error(self, run_id: str | None) -> Mapping[str, Any] | None:
        """Return the error that the command printed last, without paths; None of a good end."""
        lines = self._tail(_OUT, whence=os.SEEK_END).strip().splitlines()
        try:
            error = json.loads(lines[-1])["error"]
            return {name: without_paths(str(value)) for name, value in error.items() if value}
        except (IndexError, ValueError, KeyError, TypeError, AttributeError):
            pass
        if run_id is not None and (self.directory / run_id / REPORT).exists():
            return None
        crashed = Crashed(
            "The benchmark's process ended without a report.",
            hint=f"What it said last stands in {_ERR}, in the folder of benchmarks.",
        )
        return {name: value for name, value in crashed.to_dict().items() if value}

    def _tail(self, name: str, *, whence: int) -> str:
        """Return the begin or the end of what the process wrote."""
        try:
            with self._path(name).open("rb") as file:
                if whence == os.SEEK_END:
                    size = file.seek(0, os.SEEK_END)
                    file.seek(max(0, size - _READ_BYTES))
                return file.read(_READ_BYTES).decode("utf-8", errors="replace")
        except OSError:
            return ""


def _take(lock: IO[bytes]) -> None:
    """Take the lock for the process to come.

    Raises:
        IllegalState: a run holds it. Whoever only looks holds it for a moment.
    """
    for _ in range(_TRIES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_PAUSE_S)
    raise IllegalState(
        "A benchmark runs already.",
        hint="Wait for its end, or cancel it: POST /api/v1/benchmarks/active/cancel.",
    )


def _see_off(process: subprocess.Popen[bytes], on_end: Callable[[], None]) -> None:
    status = process.wait()
    _log.info("the benchmark ended with status %d", status)
    try:
        on_end()
    except Exception:  # noqa: BLE001 - nobody is there to be told
        _log.exception("after a benchmark")
