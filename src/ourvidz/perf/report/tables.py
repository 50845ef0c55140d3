"""Sections of figures: the matrix, baselines, phases, metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ourvidz.core.phase import Phase
from ourvidz.perf.baselines import Baseline, BaselineStatus
from ourvidz.perf.matrix import FASTER, SLOWER, MatrixRow
from ourvidz.perf.measures import TOTAL, tolerance_of
from ourvidz.perf.report import words
from ourvidz.perf.report.collect import Breakdown, Report, Resources, strip_values
from ourvidz.perf.report.document import (
    Block,
    Cell,
    Section,
    Stack,
    StackChart,
    Strip,
    StripChart,
    Table,
    Tone,
    cell,
    columns,
    row,
)
from ourvidz.perf.stats import median

# Beyond it a picture says less, not more; the tables have all.
_MOST_CHARTED = 24
_MOST_POINTS = 400
_HIGHEST_UNATTRIBUTED = 0.02
_STATUS_TONES = {
    BaselineStatus.PENDING: Tone.QUIET,
    BaselineStatus.IN_PROGRESS: Tone.WARN,
    BaselineStatus.ESTABLISHED: Tone.GOOD,
    BaselineStatus.OPTIMISED: Tone.GOOD,
}
# The kinds of time that a picture tells apart; the table has every phase.
PHASE_KINDS: Mapping[str, str] = {
    Phase.STARTUP.value: "start and load",
    Phase.ENHANCE_LOAD.value: "start and load",
    Phase.ENHANCE_RUN.value: "enhance",
    Phase.COMPILE.value: "start and load",
    Phase.ENCODE.value: "encode",
    Phase.PREPARE.value: "encode",
    Phase.DENOISE.value: "denoise",
    Phase.DECODE.value: "decode",
    Phase.SAVE.value: "files",
    Phase.THUMBNAIL.value: "files",
    Phase.PROBE.value: "files",
    Phase.UPLOAD.value: "files",
    Phase.NOTIFY.value: "files",
    Phase.UNATTRIBUTED.value: "without a name",
}


# The matrix


def matrix_section(report: Report) -> Section:
    """Return the comparison matrix."""
    numbers = ("n", "real", "expected", "variance", "quality", "success", "CV")
    rows = [_matrix_row(each, report.labels) for each in report.matrix.rows]
    notes = [
        row(
            each.job_type,
            cell(
                f"{each.preset}, {each.state}" if each.n else "",
                note=report.labels.get(each.group or "", ""),
            ),
            "; ".join(each.notes),
        )
        for each in report.matrix.rows
        if each.notes
    ]
    return Section(
        id="matrix",
        title="Comparison matrix",
        lead="A row for each job type, preset, setting, environment and state. Real is the median "
        "of clean runs; expected is computed from other runs, never typed; quality is the mean of "
        "the stars that people gave, 1 to 5. Imported history stands in the notes and is no "
        "baseline.",
        blocks=(
            Table(
                columns=columns(
                    "job type",
                    "preset",
                    "state",
                    "status",
                    "n",
                    "real",
                    "95 % interval",
                    "expected",
                    "variance",
                    "quality",
                    "CV",
                    "success",
                    "trend",
                    numbers=numbers,
                    code=("job type",),
                ),
                rows=tuple(rows),
            ),
            Table(
                title="Notes",
                columns=columns("job type", "of", "notes", code=("job type",)),
                rows=tuple(notes),
                empty="None.",
            ),
        ),
    )


def _matrix_row(each: MatrixRow, labels: Mapping[str, str]) -> tuple[Cell, ...]:
    trend = {SLOWER: Tone.BAD, FASTER: Tone.GOOD}.get(each.trend, Tone.QUIET)
    moved = "" if each.trend_shift is None else f" {words.percent(each.trend_shift, signed=True)}"
    success = each.success
    return row(
        each.job_type,
        cell(each.preset if each.n else None, note=labels.get(each.group or "", "")),
        cell(each.state),
        cell(each.status.value.replace("_", " "), _STATUS_TONES[each.status]),
        str(each.n),
        words.seconds(each.real_s),
        words.interval(each.interval),
        cell(words.seconds(each.expected_s), note=each.expected_from or ""),
        _variance(each.variance),
        words.NOTHING if each.quality is None else f"{each.quality:.2f}",
        words.percent(each.cv),
        words.NOTHING if success is None else f"{success.successes}/{success.n}",
        cell(f"{each.trend}{moved}", trend),
    )


def _variance(share: float | None) -> Cell:
    if share is None:
        return cell(None)
    tolerance = tolerance_of(TOTAL).share
    tone = Tone.BAD if share > tolerance else Tone.GOOD if share < -tolerance else Tone.PLAIN
    return cell(words.percent(share, signed=True), tone)


# Baselines


def baselines_section(report: Report) -> Section:
    """Return the current baselines."""
    found = [each for each in report.baselines if each.n]
    expected = {each.group: each.expected_s for each in report.matrix.rows if each.group}
    strips = [
        _strip(each, expected.get(each.id), report.labels.get(each.id))
        for each in found[:_MOST_CHARTED]
    ]
    left_out = [each for each in report.baselines if each.left_out]
    blocks: list[Block] = []
    if strips:
        blocks.append(
            StripChart(title="Seconds of every clean run, end to end", strips=tuple(strips))
        )
    blocks.append(
        Table(
            columns=columns(
                "job type",
                "preset",
                "state",
                "status",
                "n",
                "median",
                "95 % interval",
                "MAD",
                "mean",
                "best",
                "CV",
                "p90",
                "p95",
                "flagged",
                "since",
                numbers=("n", "median", "MAD", "mean", "best", "CV", "p90", "p95", "flagged"),
                code=("job type",),
            ),
            rows=tuple(_baseline_row(each, report.labels.get(each.id, "")) for each in found),
            empty="No clean run yet: ourvidz generate, or ourvidz bench run.",
        )
    )
    if left_out:
        blocks.append(
            Table(
                title="Left out, and kept",
                columns=columns(
                    "job type",
                    "preset",
                    "state",
                    "why",
                    "runs",
                    numbers=("runs",),
                    code=("job type",),
                ),
                rows=tuple(_left_out_rows(left_out)),
            )
        )
    return Section(
        id="baselines",
        title="Current baselines",
        lead="Clean runs that can be compared: same workload, environment and state. Established "
        "from five runs. Percentiles stand only where n allows (p90 from 10, p95 from 20).",
        blocks=tuple(blocks),
    )


def _strip(each: Baseline, expected_s: float | None, label: str | None) -> Strip:
    values = strip_values(each)
    summary = each.measures.get(TOTAL)
    span = None if summary is None else summary.interval
    return Strip(
        label=each.job_type,
        detail=" · ".join(
            part for part in (each.preset, each.state, label, f"n = {each.n}") if part
        ),
        values=values[-_MOST_POINTS:],
        median=median(values) if values else 0.0,
        low=None if span is None else span.low,
        high=None if span is None else span.high,
        expected=expected_s,
    )


def _baseline_row(each: Baseline, label: str) -> tuple[Cell, ...]:
    found = each.measures.get(TOTAL)
    return row(
        each.job_type,
        cell(each.preset, note=label),
        each.state,
        cell(each.status.value.replace("_", " "), _STATUS_TONES[each.status]),
        str(each.n),
        words.seconds(found and found.median),
        words.interval(found and found.interval),
        words.seconds(found.mad if found and found.n > 2 else None),
        words.seconds(found and found.mean),
        words.seconds(found and found.minimum),
        words.percent(found and found.cv),
        words.seconds(found and found.p90),
        words.seconds(found and found.p95),
        str(len(each.outliers.get(TOTAL, ())) or words.NOTHING),
        words.day(each.first_at),
    )


def _left_out_rows(found: Iterable[Baseline]) -> Iterable[tuple[Cell, ...]]:
    for each in found:
        counts: dict[str, int] = {}
        for one in each.left_out:
            why = "; ".join(one.reasons)
            counts[why] = counts.get(why, 0) + 1
        for why, count in counts.items():
            yield row(each.job_type, each.preset, each.state, why, str(count))


# Where the time goes


def breakdowns_section(report: Report) -> Section:
    """Return where the time goes."""
    found = report.breakdowns
    stacks = tuple(
        Stack(
            label=each.job_type,
            detail=" · ".join(
                part
                for part in (
                    each.preset,
                    each.state,
                    report.labels.get(each.group),
                    words.seconds(each.total_s),
                )
                if part
            ),
            parts=tuple((kind_of(part.phase), part.share) for part in each.parts),
        )
        for each in found[:_MOST_CHARTED]
    )
    phases = list(dict.fromkeys(part.phase for each in found for part in each.parts))
    phases.sort(key=_phase_place)
    heads = ("job type", "group", "whole job", *phases)
    blocks: list[Block] = []
    if stacks:
        blocks.append(StackChart(title="Where each job's time goes", stacks=stacks))
    blocks.append(
        Table(
            title="Median seconds of each phase, with its share",
            columns=columns(*heads, numbers=heads[2:], code=("job type",)),
            rows=tuple(
                _breakdown_row(each, phases, report.labels.get(each.group, "")) for each in found
            ),
            empty="No clean run yet.",
        )
    )
    return Section(
        id="phases",
        title="Breakdown by phase",
        lead="Exclusive seconds on the critical path, without the wait in the queue: they add up "
        "to the whole job, what has no name included. Shares are of all runs' seconds together.",
        blocks=tuple(blocks),
    )


def _breakdown_row(each: Breakdown, phases: Sequence[str], label: str) -> tuple[Cell, ...]:
    parts = {part.phase: part for part in each.parts}
    return row(
        each.job_type,
        cell(
            f"{each.preset}, {each.state}",
            note=", ".join(part for part in (label, f"n = {each.n}") if part),
        ),
        words.seconds(each.total_s),
        *(
            cell(None)
            if (part := parts.get(name)) is None
            else cell(
                words.seconds(part.median_s),
                _phase_tone(name, part.share),
                note=words.percent(part.share),
            )
            for name in phases
        ),
    )


def _phase_place(name: str) -> tuple[int, str]:
    known = [phase.value for phase in Phase]
    return (known.index(name) if name in known else len(known), name)


def _phase_tone(phase: str, share: float) -> Tone:
    is_too_much = phase == Phase.UNATTRIBUTED.value and share > _HIGHEST_UNATTRIBUTED
    return Tone.WARN if is_too_much else Tone.PLAIN


def kind_of(phase: str) -> str:
    """Return the kind of time that a phase is."""
    if phase.startswith("load"):
        return "start and load"
    return PHASE_KINDS.get(phase, "other")


# Metrics


def metrics_section(report: Report) -> Section:
    """Return the service's and each group's figures."""
    found = report.metrics
    wait = found.queue_wait
    success = found.success
    rows = [
        row(
            "jobs",
            str(found.jobs),
            words.listed(f"{count} by {name}" for name, count in found.sources.items()),
        ),
        row(
            "success rate",
            words.NOTHING if success is None else words.percent(success.share),
            words.NOTHING
            if success is None
            else f"n = {success.n}; 95 %: {words.shares(success.interval)}",
        ),
        row(
            "failures",
            str(sum(found.failures.values())),
            words.listed(f"{name}: {count}" for name, count in found.failures.items()),
        ),
        row(
            "enhancer's refusals",
            str(found.refusals),
            "answers that were no prompts; never a clean run",
        ),
        row(
            "left out by a flag",
            str(sum(found.flags.values())),
            words.listed(f"{name}: {count}" for name, count in found.flags.items()),
        ),
        row(
            "jobs an hour of work",
            words.number(found.jobs_an_hour),
            f"{words.duration(found.busy_s)} in which one job or more ran",
        ),
        row(
            "wait in the queue",
            words.seconds(wait and wait.median),
            words.NOTHING
            if wait is None
            else f"median of {wait.n}; p90 {words.seconds(wait.p90)}, "
            f"p95 {words.seconds(wait.p95)}",
        ),
        row(
            "loading, of all work",
            words.percent(found.load_share),
            "start, weights, enhancer's weights",
        ),
        row(
            "denoising, of all work",
            words.percent(found.denoise_share),
            "what steps and solver act upon",
        ),
        row(
            "without a name, of all work",
            words.percent(found.unattributed_share),
            f"{words.counted(found.unattributed_alarms, 'job')} above 1 s or 2 %",
        ),
        row(
            "models resident at the start",
            words.percent(found.resident_share),
            "of jobs whose state is known",
        ),
    ]
    return Section(
        id="metrics",
        title="Framework metrics",
        lead="The service as a whole, then what each group's jobs used (medians).",
        blocks=(
            Table(columns=columns("metric", "value", "of", numbers=("value",)), rows=tuple(rows)),
            Table(
                title="Resources",
                columns=columns(
                    "job type",
                    "group",
                    "step",
                    "an image or frame",
                    "peak device memory",
                    "peak process memory",
                    "CPU cores",
                    "GPU use",
                    "GPU power",
                    "GPU heat, most",
                    "throttled runs",
                    numbers=(
                        "step",
                        "an image or frame",
                        "peak device memory",
                        "peak process memory",
                        "CPU cores",
                        "GPU use",
                        "GPU power",
                        "GPU heat, most",
                        "throttled runs",
                    ),
                    code=("job type",),
                ),
                rows=tuple(
                    _resource_row(each, report.labels.get(each.group, ""))
                    for each in report.resources
                ),
                empty="No clean run yet.",
            ),
        ),
    )


def _resource_row(each: Resources, label: str) -> tuple[Cell, ...]:
    return row(
        each.job_type,
        cell(
            f"{each.preset}, {each.state}",
            note=", ".join(part for part in (label, f"n = {each.n}") if part),
        ),
        words.seconds(each.step_s),
        words.seconds(each.image_s),
        words.size(each.peak_memory_bytes),
        words.size(each.host_memory_bytes),
        words.number(each.host_cores, digits=2),
        words.number(each.gpu_utilisation, "%", digits=2),
        words.number(each.gpu_power_w, "W"),
        words.number(each.gpu_temperature_c, "°C", digits=2),
        str(each.throttled_runs or words.NOTHING),
    )
