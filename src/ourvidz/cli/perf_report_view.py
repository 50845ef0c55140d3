"""What ``ourvidz perf report|digest`` gather, and where they write."""

from __future__ import annotations

import json as json_module
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.markup import escape

from ourvidz.catalog.config import Settings, catalogue_of, load_settings
from ourvidz.cli.output import console, human_bytes, print_json
from ourvidz.cli.perf_report import Format
from ourvidz.core.errors import InvalidRequest
from ourvidz.core.files import atomic_path, check_writable
from ourvidz.jobs.open import DATABASE_FILE, open_store
from ourvidz.perf.decisions import Decision, load_decisions
from ourvidz.perf.planned import KeptGoal, kept_goals
from ourvidz.perf.record import PerformanceRecord
from ourvidz.perf.records import HeldRecords, StoreRecords
from ourvidz.perf.report import Digest, Report, collect, digest_of, render_html, render_markdown
from ourvidz.perf.report.expected import expectations
from ourvidz.perf.report.period import Kind, moment_of, period_of, since_of
from ourvidz.perf.survey import (
    BENCHMARKS_FOLDER,
    histories_in,
    own_records,
    protocol_reports,
    stars_of,
)

_SUFFIXES = {
    ".md": Format.MARKDOWN,
    ".markdown": Format.MARKDOWN,
    ".html": Format.HTML,
    ".htm": Format.HTML,
    ".json": Format.JSON,
}


def show_report(wanted: Format | None, out: Path | None, *, since: str | None, json: bool) -> None:
    """See ``perf_report.report``."""
    settings = load_settings()
    job_types = tuple(catalogue_of(settings).job_types)
    written = _format(wanted, out)
    now = datetime.now(UTC)
    begin = None if since is None else since_of(since, now=now)
    seen = _seen(settings)
    report = collect(
        HeldRecords(seen.records),
        goals=seen.goals,
        predictor=expectations(seen.records),
        now=now,
        job_types=job_types,
        profile=settings.profile,
        since=begin,
        decisions=seen.decisions,
        histories=histories_in(settings.data_dir),
        runs=protocol_reports(settings.data_dir / BENCHMARKS_FOLDER),
        stars=seen.stars,
    )
    _write(report, written, out, json=json)


def show_digest(
    wanted: Format | None,
    out: Path | None,
    *,
    week: bool,
    month: bool,
    at: str | None,
    json: bool,
) -> None:
    """See ``perf_report.digest``."""
    if week and month:
        raise InvalidRequest("--week and --month are two digests.", hint="Name one of them.")
    settings = load_settings()
    catalogue_of(settings)  # refuses goals of unknown job types
    written = _format(wanted, out)
    kind = Kind.MONTHLY if month else Kind.WEEKLY
    now = datetime.now(UTC)
    period = (
        period_of(now, kind).before if at is None else period_of(moment_of(at, param="at"), kind)
    )
    if period.begin > now:
        raise InvalidRequest(f"--at {at!r} lies ahead.", param="at", hint="Name a day gone by.")
    seen = _seen(settings)
    digest = digest_of(
        seen.records,
        period=period,
        now=now,
        profile=settings.profile,
        goals=seen.goals,
        decisions=seen.decisions,
        histories=histories_in(settings.data_dir),
    )
    _write(digest, written, out, json=json)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """What a store knows."""

    records: Sequence[PerformanceRecord]
    decisions: tuple[Decision, ...]
    goals: tuple[KeptGoal, ...]
    stars: Mapping[str, Sequence[int]]


def _seen(settings: Settings) -> _Seen:
    """Look into the store; looking never makes one."""
    own = settings.performance.goals
    if settings.database_url is None and not (settings.data_dir / DATABASE_FILE).exists():
        return _Seen(records=(), decisions=(), goals=kept_goals(own, None), stars={})
    store = open_store(settings)
    try:
        store.migrate()
        return _Seen(
            records=own_records(StoreRecords(store)),
            decisions=load_decisions(store),
            goals=kept_goals(own, store),
            stars=stars_of(store.ratings()),
        )
    finally:
        store.close()


def _format(wanted: Format | None, out: Path | None) -> Format:
    if wanted is not None or out is None:
        return wanted or Format.MARKDOWN
    known = _SUFFIXES.get(out.suffix.lower())
    if known is None:
        raise InvalidRequest(
            f"--out {out.name!r}: its suffix names no format.",
            param="out",
            hint="End it in .md, .html or .json, or name the format with --format.",
        )
    return known


def _write(report: Report | Digest, wanted: Format, out: Path | None, *, json: bool) -> None:
    match wanted:
        case Format.MARKDOWN:
            text = render_markdown(report)
        case Format.HTML:
            text = render_html(report)
        case Format.JSON:
            text = json_module.dumps(report.to_dict(), ensure_ascii=False, indent=1) + "\n"
    if out is None:
        print(text, end="")  # noqa: T201
    else:
        check_writable(out.parent)
        with atomic_path(out) as partial:
            partial.write_text(text, encoding="utf-8")
        console.print(
            f"[green]✓[/] {escape(str(out))} [dim]{wanted.value}, "
            f"{human_bytes(len(text.encode()))}[/]",
            highlight=False,
        )
    if json:
        print_json(
            {
                "format": wanted.value,
                "out": None if out is None else str(out),
                "report": report.to_dict(),
            }
        )
