"""Looking into an installation's store without making one."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from ourvidz.catalog.config import Settings
from ourvidz.jobs.open import DATABASE_FILE, open_store
from ourvidz.jobs.store import JobStore


@contextmanager
def existing_store(settings: Settings) -> Generator[JobStore | None]:
    """Give the store; None where there is none yet, since looking must not make one."""
    if settings.database_url is None and not (settings.data_dir / DATABASE_FILE).exists():
        yield None
        return
    store = open_store(settings)
    try:
        store.migrate()
        yield store
    finally:
        store.close()
