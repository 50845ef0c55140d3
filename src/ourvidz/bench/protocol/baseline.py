"""What a protocol run is compared with: another run, a record file, or the store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ourvidz.core.errors import InvalidRequest
from ourvidz.perf.protocol.judge import Reference
from ourvidz.perf.protocol.plan import RunKind
from ourvidz.perf.protocol.results import (
    REPORT,
    RUNS,
    FinishedRun,
    counted,
    list_runs,
    run_folder,
    runs_from,
)
from ourvidz.perf.record import PerformanceRecord


def reference_of(name: str, directory: Path) -> Reference:
    """Return the runs of a protocol run by its id, or of a folder or file of one.

    Raises:
        NotFound: There is no such run or file.
        InvalidRequest: It is broken, or holds no run that counts.
    """
    runs = finished_runs(name, directory)
    is_file = Path(name).exists()
    return Reference(
        kind="record" if is_file else "protocol",
        name=Path(name).name if is_file else f"run {name}",
        records=[run.record for run in runs],
        runs=runs,
        root=runs_path(name, directory).parent,
    )


def finished_runs(name: str, directory: Path) -> Sequence[FinishedRun]:
    """Return the runs that count of a protocol run by its id, or of a folder or file of one.

    Raises:
        NotFound: There is no such run or file.
        InvalidRequest: It is broken, or holds no run that counts.
    """
    path = runs_path(name, directory)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path.name!r} can't be read: {error}.", param="run") from error
    found = counted(runs_from(text, name=path.name))
    if not found:
        raise InvalidRequest(
            f"{path.name!r} holds no run that counts.",
            param="run",
            hint="A run that ended stands on a line of its own, warm-ups apart.",
        )
    return found


def earlier_records(directory: Path, *, door: str) -> list[PerformanceRecord]:
    """Return the records of every run that is kept there and was made through ``door``.

    Broken runs are left out.
    """
    found: list[PerformanceRecord] = []
    for summary in list_runs(directory):
        folder = run_folder(directory, summary.id)
        try:
            if summary.kind == RunKind.RUN.value and folder.plan().door == door:
                found += [run.record for run in counted(folder.runs())]
        except InvalidRequest:
            continue
    return found


def runs_path(name: str, directory: Path) -> Path:
    """Return the file of a protocol run's finished runs.

    Raises:
        NotFound: There is no such run.
        InvalidRequest: The file is not there.
    """
    path = Path(name)
    if path.is_dir():
        path = path / RUNS
    elif path.name == REPORT:
        path = path.with_name(RUNS)
    elif not path.exists():
        path = run_folder(directory, name).path / RUNS
    if not path.is_file():
        raise InvalidRequest(
            f"{path.name!r} is not there: runs are read from it.",
            param="run",
            hint=f"Name a run's id, its folder, or its {RUNS}.",
        )
    return path
