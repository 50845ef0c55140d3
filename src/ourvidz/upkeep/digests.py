"""Digests of weeks and months that are over, each written once to ``reports`` in the data."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from ourvidz.catalog.config import Settings
from ourvidz.core.files import atomic_path, check_writable
from ourvidz.jobs.store import JobStore
from ourvidz.perf.decisions import load_decisions
from ourvidz.perf.planned import kept_goals
from ourvidz.perf.records import StoreRecords
from ourvidz.perf.report import Digest, digest_of, render_html, render_markdown
from ourvidz.perf.report.period import Kind, Period, period_of
from ourvidz.perf.survey import histories_in, own_records

FOLDER = "reports"  # within the data directory


def write_digests(settings: Settings, store: JobStore, *, now: datetime) -> tuple[Path, ...]:
    """Write the digest of the last week and month, where it is wanted and not there yet.

    A period in which no job ended has none. What was missed while no service ran is not made up
    for: ``ourvidz perf digest --at`` does that.

    Args:
        settings: ``performance.digests`` says which.
        store: Whose records.
        now: With a time zone.

    Returns:
        The files written.

    Raises:
        DiskFull, OutputUnwritable: The folder can't be written.
        StoreUnavailable: The store can't be asked.
    """
    folder = settings.data_dir / FOLDER
    due = [
        period
        for kind in settings.performance.digests
        if not _last_file(folder, period := period_of(now, Kind(kind)).before).exists()
        and any(period.holds(each.at) for each in StoreRecords(store).records(since=period.begin))
    ]
    if not due:
        return ()
    check_writable(folder)
    return tuple(
        path for period in due for path in _write(folder, _digest(settings, store, period, now=now))
    )


def _digest(settings: Settings, store: JobStore, period: Period, *, now: datetime) -> Digest:
    return digest_of(
        own_records(StoreRecords(store)),
        period=period,
        now=now,
        profile=settings.profile,
        goals=kept_goals(settings.performance.goals, store),
        decisions=load_decisions(store),
        histories=histories_in(settings.data_dir),
    )


def _write(folder: Path, digest: Digest) -> list[Path]:
    name = digest.period.name
    texts = {
        folder / f"{name}.md": render_markdown(digest),
        folder / f"{name}.html": render_html(digest),
        # The last of them: where it is, the others are.
        _last_file(folder, digest.period): json.dumps(digest.to_dict(), ensure_ascii=False),
    }
    for path, text in texts.items():
        with atomic_path(path) as partial:
            partial.write_text(text, encoding="utf-8")
    return list(texts)


def _last_file(folder: Path, period: Period) -> Path:
    return folder / f"{period.name}.json"
