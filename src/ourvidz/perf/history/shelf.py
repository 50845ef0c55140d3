"""Where histories stand: the one in the package, and those that were imported here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from importlib import resources
from pathlib import Path

from ourvidz.core.errors import InvalidRequest
from ourvidz.core.files import atomic_path
from ourvidz.perf.history.records import performance_records
from ourvidz.perf.history.schema import (
    NamedHistory,
    parse_history,
    parse_recipes,
    read_history,
    with_recipes,
)
from ourvidz.perf.record import PerformanceRecord

SHIPPED = "history-2025-07"
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


def shipped() -> NamedHistory:
    """Return the history of 2025 with its recipes."""
    folder = resources.files("ourvidz.perf.history") / "data"
    file = f"{SHIPPED}.json"
    history = parse_history((folder / file).read_bytes(), name=file)
    recipes = parse_recipes((folder / "recipes-2025-07.json").read_bytes())
    return NamedHistory(name=SHIPPED, history=with_recipes(history, recipes))


def read_named(path: Path) -> NamedHistory:
    """Read a file of one's own; claims of the shipped document find their recipes.

    Raises:
        InvalidRequest: As ``read_history``.
    """
    history = read_history(path)
    folder = resources.files("ourvidz.perf.history") / "data"
    known = {claim.id for claim in shipped().history.claims}
    # Another document's roadmap is about other things under the same numbers.
    if {claim.id for claim in history.claims} & known:
        recipes = parse_recipes((folder / "recipes-2025-07.json").read_bytes())
        history = with_recipes(history, recipes)
    return NamedHistory(name=path.stem, history=history)


def import_history(
    path: Path, folder: Path, *, replaces: bool = False
) -> tuple[NamedHistory, bool]:
    """Check a file and keep a copy of it.

    Args:
        path: The file.
        folder: Where this installation keeps imported histories; made where absent.
        replaces: Whether another file of the same name gives way.

    Returns:
        The history, and whether anything was written: the same file again changes nothing.

    Raises:
        InvalidRequest: The file is refused, its name is no plain one, or another history of that
            name is there.
    """
    named = read_named(path)
    if not _NAME.fullmatch(named.name) or named.name == SHIPPED:
        raise InvalidRequest(
            f"A history can't be called {named.name!r}.",
            param="file",
            hint="Lower-case letters, digits and _ . - only, and not the name of the shipped one.",
        )
    there = folder / f"{named.name}.json"
    content = path.read_bytes()
    if there.exists():
        if there.read_bytes() == content:
            return named, False
        if not replaces:
            raise InvalidRequest(
                f"Another history is called {named.name!r} already.",
                param="file",
                hint="Give the file another name, or add --replace.",
            )
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(there) as partial:
        partial.write_bytes(content)
    return named, True


def load_histories(folder: Path | None = None) -> tuple[NamedHistory, ...]:
    """Return the shipped history and the imported ones, by name.

    Raises:
        InvalidRequest: A kept file is broken.
    """
    paths = sorted(folder.glob("*.json")) if folder is not None and folder.is_dir() else []
    return (shipped(), *(read_named(path) for path in paths))


class HistoryReader:
    """Records of histories, oldest first: a ``RecordReader`` beside that of this machine's jobs."""

    def __init__(self, histories: Sequence[NamedHistory]) -> None:
        made = [
            record
            for named in histories
            for record in performance_records(named.history, name=named.name)
        ]
        self._records = sorted(made, key=lambda record: record.at)

    def records(
        self,
        *,
        job_type: str | None = None,
        since: datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[PerformanceRecord]:
        """Give the records, oldest first; with ``limit`` the last so many."""
        found = [
            record
            for record in self._records
            if (job_type is None or record.job_type == job_type)
            and (since is None or record.at >= since)
        ]
        yield from found if limit is None else found[len(found) - min(limit, len(found)) :]
