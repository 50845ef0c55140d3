"""A digest as a document."""

from __future__ import annotations

from collections.abc import Sequence

from ourvidz.perf.decisions import Effect
from ourvidz.perf.report import words
from ourvidz.perf.report.digest import Accepted, Compared, Digest
from ourvidz.perf.report.document import (
    Block,
    Cell,
    Days,
    Document,
    Section,
    Table,
    Tile,
    Tone,
    cell,
    columns,
    row,
)
from ourvidz.perf.report.story import outcome_cell, plan_table
from ourvidz.perf.rollouts import ArmResult, RolloutResult

_EFFECTS = {Effect.REGRESSION: Tone.BAD, Effect.IMPROVEMENT: Tone.GOOD}


def digest_document(digest: Digest) -> Document:
    """Return the digest's document."""
    over = "" if digest.is_over else ", so far"
    return Document(
        title=f"{digest.period.kind.value.capitalize()} digest",
        subtitle=f"{digest.period.title}{over}, beside the one before",
        tiles=_tiles(digest),
        sections=(
            _ran(digest),
            _trends(digest),
            _optimisations(digest),
            *((_rollouts(digest.rollouts),) if digest.rollouts else ()),
            _goals(digest),
        ),
        footer=f"Made {words.minute(digest.at)} UTC by ourvidz perf digest. Every figure is "
        "computed from records; none is typed. Times are UTC.",
    )


def _tiles(digest: Digest) -> tuple[Tile, ...]:
    now, then = digest.metrics, digest.metrics_before
    success = now.success
    verdicts = [each.verdict for each in digest.compared if each.verdict is not None]
    worse = sum(bool(each.regressions) for each in verdicts)
    better = sum(bool(each.improvements) for each in verdicts)
    reached = (
        0
        if digest.goals is None
        else sum(each.status.value == "reached" for each in digest.goals.own_goals)
    )
    goals = 0 if digest.goals is None else len(digest.goals.own_goals)
    return (
        Tile(label="Jobs", value=str(now.jobs), detail=f"{then.jobs} in the one before"),
        Tile(
            label="Succeeded",
            value=words.NOTHING if success is None else words.percent(success.share),
            detail="nothing ran"
            if success is None
            else f"{success.successes} of {success.n}; 95 %: {words.shares(success.interval)}",
            share=None if success is None else success.share,
        ),
        Tile(
            label="Groups slower, faster",
            value=f"{worse}, {better}",
            detail="by verdict, in any measure",
            tone=Tone.BAD if worse else Tone.GOOD if better else Tone.PLAIN,
        ),
        Tile(
            label="Busy",
            value=words.duration(now.busy_s),
            detail=f"{words.duration(then.busy_s)} in the one before",
        ),
        Tile(
            label="Wait in the queue",
            value=words.seconds(now.queue_wait and now.queue_wait.median),
            detail=f"median; before {words.seconds(then.queue_wait and then.queue_wait.median)}",
        ),
        Tile(
            label="Jobs an hour of work",
            value=words.number(now.jobs_an_hour),
            detail=f"{words.number(then.jobs_an_hour)} in the one before",
        ),
        Tile(
            label="Loading, of all work",
            value=words.percent(now.load_share),
            detail=f"{words.percent(then.load_share)} in the one before",
        ),
        Tile(
            label="Goals reached",
            value=f"{reached} of {goals}" if goals else "none set",
            share=reached / goals if goals else None,
        ),
    )


def _ran(digest: Digest) -> Section:
    blocks: list[Block] = []
    if digest.metrics.jobs:
        days = tuple((f"{each.day:%m-%d}", each.jobs, each.failed) for each in digest.days)
        blocks.append(Days(title="Jobs that ended, by day (failed ones in red)", days=days))
    blocks.append(
        Table(
            columns=columns(
                "job type", "jobs", "failed", "work", "jobs before",
                numbers=("jobs", "failed", "work", "jobs before"), code=("job type",),
            ),
            rows=tuple(
                row(
                    each.job_type,
                    str(each.jobs),
                    cell(str(each.failed), Tone.BAD if each.failed else Tone.QUIET),
                    words.duration(each.run_s),
                    str(each.jobs_before),
                )
                for each in digest.ran
            ),
            empty="Nothing ran, in this period or the one before.",
        )
    )  # fmt: skip
    if digest.metrics.failures:
        before = digest.metrics_before.failures
        blocks.append(
            Table(
                title="Failures by class",
                columns=columns("class", "jobs", "before", numbers=("jobs", "before")),
                rows=tuple(
                    row(name, str(count), str(before.get(name, 0)))
                    for name, count in digest.metrics.failures.items()
                ),
            )
        )
    return Section(id="ran", title="What ran", lead="", blocks=tuple(blocks))


def _trends(digest: Digest) -> Section:
    changes = tuple(
        row(
            words.minute(each.change.at),
            each.job_type,
            f"{each.preset}, {each.state}",
            cell(each.change.effect.value, _EFFECTS.get(each.change.effect, Tone.PLAIN)),
            each.change.text,
        )
        for each in digest.changes
    )
    return Section(
        id="trends",
        title="Trends",
        lead="Comparable clean runs of this period against the one before. A verdict needs five "
        "runs on each side, one of phases seven, and a change beyond what is tolerated.",
        blocks=(
            Table(
                columns=columns(
                    "job type", "of", "before", "now", "shift", "outcome", "in words",
                    numbers=("before", "now", "shift"), code=("job type",),
                ),
                rows=tuple(map(_compared, digest.compared)),
                empty="No clean run in either period.",
            ),
            Table(
                title="Changes that began in this period",
                columns=columns("when", "job type", "of", "effect", "what", code=("job type",)),
                rows=changes,
                empty="None found.",
            ),
        ),
    )  # fmt: skip


def _compared(each: Compared) -> tuple[Cell, ...]:
    verdict = each.verdict
    whole = None if verdict is None else verdict.of("total")
    shift = None if whole is None or whole.shift is None else whole.shift.estimate
    return row(
        each.job_type,
        cell(f"{each.preset}, {each.state}", note=each.label),
        cell(words.seconds(each.median_before_s), note=f"n = {each.n_before}"),
        cell(words.seconds(each.median_s), note=f"n = {each.n}"),
        words.percent(shift, signed=True),
        cell(None) if verdict is None else outcome_cell(verdict.outcome.value),
        each.text,
    )


def _optimisations(digest: Digest) -> Section:
    blocks: list[Block] = [
        Table(
            title="Accepted changes: all runs before against all since",
            columns=columns(
                "since", "job type", "of", "before", "after", "effect", "95 % interval",
                "in this period", "why",
                numbers=("before", "after", "effect", "in this period"), code=("job type",),
            ),
            rows=tuple(map(_accepted, digest.accepted)),
            empty="None was accepted yet: ourvidz perf accept CHANGE --note WHY.",
        )
    ]  # fmt: skip
    if digest.goals is not None:
        blocks.append(
            plan_table(
                f"Roadmap of {digest.goals.history}",
                [each for each in digest.goals.roadmap if each.after is not None],
                empty="No run says anything about the roadmap yet.",
            )
        )
    return Section(
        id="optimisations",
        title="What each optimisation did",
        lead="Measured in runs, never as it was promised.",
        blocks=tuple(blocks),
    )


def _accepted(each: Accepted) -> tuple[Cell, ...]:
    shift = each.shift
    span = None if shift is None else shift.interval
    tone = Tone.PLAIN
    if span is not None:
        tone = Tone.GOOD if span.high < 0 else Tone.BAD if span.low > 0 else Tone.PLAIN
    return row(
        words.day(each.at),
        each.job_type,
        f"{each.preset}, {each.state}",
        cell(words.seconds(each.median_before_s), note=f"n = {each.n_before}"),
        cell(words.seconds(each.median_after_s), note=f"n = {each.n_after}"),
        cell(words.percent(None if shift is None else shift.estimate, signed=True), tone),
        words.NOTHING
        if span is None
        else f"{words.percent(span.low, signed=True)} to {words.percent(span.high, signed=True)}",
        cell(words.seconds(each.median_now_s), note=f"n = {each.n_now}"),
        cell(each.note, note=each.author),
    )


def _goals(digest: Digest) -> Section:
    own = () if digest.goals is None else digest.goals.own_goals
    return Section(
        id="goals",
        title="Goals",
        lead="",
        blocks=(plan_table("", own, empty="None set: [[performance.goals]] in ourvidz.toml."),),
    )


def _rollouts(results: Sequence[RolloutResult]) -> Section:
    return Section(
        id="rollouts",
        title="Rollouts",
        lead="Live jobs of both sides, divided by a hash of their ids.",
        blocks=(rollout_table(results),),
    )


def rollout_table(results: Sequence[RolloutResult]) -> Table:
    """Return what live traffic says of each rollout."""
    return Table(
        columns=columns(
            "rollout", "job type", "changes", "control", "treatment", "shift", "outcome",
            "in words", numbers=("control", "treatment", "shift"), code=("rollout", "job type"),
        ),
        rows=tuple(map(_rollout, results)),
        empty="No job took part in one.",
    )  # fmt: skip


def _rollout(each: RolloutResult) -> tuple[Cell, ...]:
    first = each.pairs[0].verdict if each.pairs else None
    whole = None if first is None else first.of("total")
    shift = None if whole is None or whole.shift is None else whole.shift.estimate
    return row(
        each.name,
        each.job_type,
        words.listed(each.changes),
        _arm(each.control, None if whole is None else whole.median_before),
        _arm(each.treatment, None if whole is None else whole.median_after),
        words.percent(shift, signed=True),
        cell(None) if first is None else outcome_cell(first.outcome.value),
        each.text,
    )


def _arm(arm: ArmResult, median_s: float | None) -> Cell:
    success = arm.success
    share = "" if success is None else f", {success.successes}/{success.n} succeeded"
    return cell(words.seconds(median_s), note=f"{words.counted(arm.jobs, 'job')}{share}")
