"""Numbered SQL files, applied once each and in order."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files

from ourvidz.core.errors import ConfigInvalid

_PACKAGE = "ourvidz.jobs"
_FILE = re.compile(r"(\d{4})_\w+\.sql")
_COMMENT = re.compile(r"--.*$", re.MULTILINE)

VERSION_TABLE = (
    "CREATE TABLE IF NOT EXISTS schema_version ("
    "version INTEGER NOT NULL PRIMARY KEY, applied_at DOUBLE PRECISION NOT NULL)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Migration:
    """One step of the schema, not yet translated for a database."""

    version: int
    text: str


def shipped_migrations() -> tuple[Migration, ...]:
    """Return the package's migrations in order."""
    found = [
        Migration(version=int(match[1]), text=file.read_text(encoding="utf-8"))
        for file in files(_PACKAGE).joinpath("sql", "migrations").iterdir()
        if (match := _FILE.fullmatch(file.name))
    ]
    return tuple(sorted(found, key=lambda migration: migration.version))


def schema_text() -> str:
    """Return the whole schema as the last migration leaves it, not yet translated."""
    return files(_PACKAGE).joinpath("sql", "schema.sql").read_text(encoding="utf-8")


def split(text: str) -> list[str]:
    """Return a file's statements, without comments."""
    parts = _COMMENT.sub("", text).split(";")
    return [part.strip() for part in parts if part.strip()]


def apply(
    migrations: Sequence[Migration],
    *,
    current: int,
    execute: Callable[[str], object],
    note: Callable[[int], object],
) -> None:
    """Run what lies beyond version ``current``, inside the caller's transaction and lock.

    Raises:
        ConfigInvalid: the database is newer than this program.
    """
    newest = migrations[-1].version
    if current > newest:
        raise ConfigInvalid(
            f"The job store has schema version {current}, this program knows {newest}.",
            hint="Run the newer program, or give this one another data_dir or database_url.",
        )
    for migration in migrations:
        if migration.version > current:
            for statement in split(migration.text):
                execute(statement)
            note(migration.version)
