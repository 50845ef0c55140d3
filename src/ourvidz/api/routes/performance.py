"""How fast this installation is: what is computed of its records, and what people decide about it.

Figures are of the whole installation and hold no word of a prompt: whoever may read metrics may
read them. One job is shown to its own tenant alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Path, Query
from starlette.responses import HTMLResponse, JSONResponse, Response

from ourvidz.api.auth import JobsReader, MetricsReader, PerformanceWriter, Principal
from ourvidz.api.deps import AppDeps, Deps
from ourvidz.api.events import MEDIA_TYPE, STREAM_SCHEMA, last_event_id
from ourvidz.api.performance import Desk, PerformanceDesk, Seen
from ourvidz.api.performance_events import (
    alarm_answers,
    events_after,
    newest_alarms,
    record_brief,
    stream_response,
)
from ourvidz.api.performance_schemas import (
    AlarmsAnswer,
    BaselineAnswer,
    BaselineBrief,
    BaselinePage,
    ClaimsAnswer,
    DecisionAnswer,
    DecisionListed,
    DecisionPage,
    DecisionRequest,
    DeviceSeries,
    GoalAnswer,
    GoalRequest,
    GoalsAnswer,
    HistoryAnswer,
    HistoryList,
    JobPerformance,
    MatrixAnswer,
    PerformanceEvents,
    PredictionAnswer,
    PredictionRequest,
    RecordPage,
    RemovedGoal,
    RolloutList,
    SeriesAnswer,
    SpanAnswer,
    TrendPage,
    UndoRequest,
    WatchAnswer,
)
from ourvidz.api.routes.common import (
    After,
    Cursor,
    JobId,
    LastEventId,
    Limit,
    MaxS,
    errors,
    known_id,
    page_of,
)
from ourvidz.api.schemas import PARAMETER_NAMES
from ourvidz.catalog.resolve import resolve
from ourvidz.core.errors import InvalidRequest, NotFound
from ourvidz.core.ids import new_id
from ourvidz.perf.records import HeldRecords

if TYPE_CHECKING:
    from ourvidz.perf.decisions import Decision
    from ourvidz.perf.planned import KeptGoal
    from ourvidz.perf.record import PerformanceRecord
    from ourvidz.perf.report import Digest, Report
    from ourvidz.perf.survey import Survey, Trend
    from ourvidz.perf.trend import Series

router = APIRouter(tags=["performance"])

T = TypeVar("T")

_MOST_POINTS = 2000
_LOCAL_AUTHOR = "local"  # who asks from this machine while no key exists
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The events, as JSON or as a stream.",
        "content": {MEDIA_TYPE: {"schema": STREAM_SCHEMA}},
    }
}

_DOCUMENT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The document.",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/markdown": {"schema": {"type": "string"}},
            "text/html": {"schema": {"type": "string"}},
        },
    }
}
# The page is one file: its styles and drawings stand in it, and nothing runs.
_PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_ANY_PROMPT = "a red circle"  # what is asked for costs no other time

Format = Annotated[Literal["json", "markdown", "html"], Query(description="In which form.")]
JobTypeQuery = Annotated[
    str | None, Query(max_length=100, description="Of this job type alone (or an older name).")
]
WithHistory = Annotated[bool, Query(description="With what was recorded on other machines.")]
HistoryName = Annotated[
    str | None, Query(max_length=200, description="A history's name; the shipped one if left out.")
]


# Figures


@router.get(
    "/performance/matrix",
    operation_id="performance_matrix",
    response_model=MatrixAnswer,
    responses=errors(),
)
def get_matrix(
    deps: Deps,
    desk: Desk,
    who: MetricsReader,
    job_type: JobTypeQuery = None,
    history: WithHistory = True,
) -> MatrixAnswer:
    """Compare all job types: what each takes, how sure that is, and where it is going.

    Computed once for every new record, so that a dashboard may ask as often as it likes.
    """
    del who
    names = _job_types(deps, job_type)

    def make(seen: Seen) -> MatrixAnswer:
        survey = _narrowed(seen, names if job_type else None, history)
        found = survey.matrix(names, expect=desk.expect(survey))
        return MatrixAnswer(newest=seen.kept.newest, **found.to_json())

    return desk.answer(("matrix", tuple(names), history), make)


@router.get(
    "/performance/baselines",
    operation_id="list_baselines",
    response_model=BaselinePage,
    responses=errors(),
)
def list_baselines(
    deps: Deps,
    desk: Desk,
    who: MetricsReader,
    job_type: JobTypeQuery = None,
    history: WithHistory = True,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> BaselinePage:
    """List groups of comparable runs, newest run first."""
    del who
    wanted = _job_types(deps, job_type) if job_type else None

    def make(seen: Seen) -> Sequence[BaselineBrief]:
        from ourvidz.perf.plain import plain

        return [
            BaselineBrief(**plain(each, without=_NOT_BRIEF), n=each.n)
            for each in _narrowed(seen, wanted, history).baselines()
        ]

    found = desk.answer(("baselines", tuple(wanted or ()), history), make, is_dated=False)
    shown, next_cursor = page_of(found, lambda each: each.id, limit=limit, cursor=cursor)
    return BaselinePage(data=list(shown), next_cursor=next_cursor)


_NOT_BRIEF = frozenset({
    "workload", "environment", "records", "left_out", "measures", "outliers", "success", "newest",
    "begins_with",
})  # fmt: skip


@router.get(
    "/performance/baselines/{group}",
    operation_id="get_baseline",
    response_model=BaselineAnswer,
    responses=errors(404),
)
def get_baseline(
    group: Annotated[
        str, Path(max_length=100, description="The baseline's id, or the beginning of it.")
    ],
    desk: Desk,
    who: MetricsReader,
) -> BaselineAnswer:
    """Read one baseline in full: every phase, what was left out, what was flagged."""
    del who

    def make(seen: Seen) -> BaselineAnswer:
        return BaselineAnswer(**seen.survey.baseline(group).to_json())

    return desk.answer(("baseline", group), make, is_dated=False)


@router.get(
    "/performance/trends",
    operation_id="list_trends",
    response_model=TrendPage,
    responses=errors(),
)
def list_trends(
    deps: Deps,
    desk: Desk,
    who: MetricsReader,
    job_type: JobTypeQuery = None,
    preset: Annotated[str | None, Query(max_length=100, description="Only this one.")] = None,
    state: Annotated[
        Literal["cold", "warm", "resident"] | None, Query(description="Only this one.")
    ] = None,
    measure: Annotated[
        list[str] | None,
        Query(max_length=30, description="total, step, peak_memory or a phase; repeatable."),
    ] = None,
    history: WithHistory = True,
    points: Annotated[
        int, Query(ge=0, le=_MOST_POINTS, description="How many of each history's last runs.")
    ] = 200,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> TrendPage:
    """List histories with their change points: when, by how much, and what else changed there."""
    del who
    wanted = _job_types(deps, job_type) if job_type else None
    measures = tuple(measure) if measure else None
    key = ("trends", tuple(wanted or ()), preset, state, measures, history)

    def make(seen: Seen) -> tuple[int, Trend]:
        survey = _narrowed(seen, wanted, history)
        return seen.kept.newest, survey.trend(preset=preset, state=state, measures=measures)

    newest, found = desk.answer(key, make)
    shown, next_cursor = page_of(found.series, lambda each: each.id, limit=limit, cursor=cursor)
    return TrendPage(
        data=[_series(each, points) for each in shown],
        next_cursor=next_cursor,
        newest=newest,
    )


@router.get(
    "/performance/alarms",
    operation_id="performance_alarms",
    response_model=AlarmsAnswer,
    responses=errors(),
)
def get_alarms(desk: Desk, who: MetricsReader) -> AlarmsAnswer:
    """Read what has to be looked at: alarms of the installation, job types slow three of five."""
    del who

    def make(seen: Seen) -> list[WatchAnswer]:
        from ourvidz.perf.plain import plain
        from ourvidz.perf.scoring import watches

        found = watches(seen.survey.own, decisions=seen.survey.decisions)
        return [WatchAnswer(**plain(each)) for each in found]

    return AlarmsAnswer(
        newest=desk.look().kept.newest,
        alarms=alarm_answers(newest_alarms(desk)),
        watched=desk.answer("watched", make, is_dated=False),
    )


# Records


@router.get(
    "/performance/records",
    operation_id="list_performance_records",
    response_model=RecordPage,
    responses=errors(),
)
def list_records(
    deps: Deps,
    desk: Desk,
    who: MetricsReader,
    job_type: JobTypeQuery = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> RecordPage:
    """List what jobs left, newest first."""
    del who
    wanted = _job_types(deps, job_type) if job_type else None
    found = [
        each
        for each in reversed(desk.look().kept.records)
        if wanted is None or each.record.job_type in wanted
    ]
    shown, next_cursor = page_of(found, lambda each: str(each.seq), limit=limit, cursor=cursor)
    return RecordPage(data=[record_brief(each) for each in shown], next_cursor=next_cursor)


@router.get(
    "/performance/jobs/{job_id}",
    operation_id="job_performance",
    response_model=JobPerformance,
    responses=errors(404),
)
def get_job_performance(
    job_id: JobId,
    deps: Deps,
    desk: Desk,
    who: MetricsReader,
    against: Annotated[
        str | None, Query(max_length=100, description="Another job's id, to compare with.")
    ] = None,
) -> JobPerformance:
    """Read one job's ledger beside its baseline: fast, normal or slow, phase by phase."""
    spans = _spans(deps, who, known_id(job_id))
    if against is not None:
        _spans(deps, who, known_id(against))
    view = desk.answer(
        ("job", job_id, against),
        lambda seen: seen.survey.job(job_id, against=against),
        is_dated=False,
    )
    return JobPerformance(
        **view.to_json(), spans=spans, device_series=_device_series(deps, desk, job_id)
    )


@router.get(
    "/performance/events",
    operation_id="performance_events",
    response_model=PerformanceEvents,
    responses={**errors(), **_STREAM},
)
def performance_events(
    deps: Deps,
    desk: Desk,
    who: MetricsReader,
    after: After = None,
    max_s: MaxS = None,
    last_event_id_header: LastEventId = None,
) -> Response | PerformanceEvents:
    """Follow new records and what is said of them, as server-sent events.

    The stream begins with what comes next, or behind Last-Event-ID. With `after` the answer is
    JSON and comes at once.
    """
    del who
    if after is not None:
        return events_after(desk, after)
    seen = last_event_id(last_event_id_header) if last_event_id_header else None
    return stream_response(deps, desk, after=seen, max_s=max_s)


# Decisions


@router.get(
    "/performance/decisions",
    operation_id="list_decisions",
    response_model=DecisionPage,
    responses=errors(),
)
def list_decisions(
    desk: Desk, who: MetricsReader, limit: Limit = 50, cursor: Cursor = None
) -> DecisionPage:
    """List everything that was ever decided, newest first, and what holds of it."""
    del who

    def make(seen: Seen) -> list[DecisionListed]:
        from ourvidz.perf.survey import decisions_json

        return [DecisionListed(**each) for each in reversed(decisions_json(seen.survey.decisions))]

    shown, next_cursor = page_of(
        desk.answer("decisions", make), lambda each: each.id, limit=limit, cursor=cursor
    )
    return DecisionPage(data=list(shown), next_cursor=next_cursor)


@router.post(
    "/performance/decisions",
    operation_id="decide",
    status_code=201,
    response_model=DecisionAnswer,
    responses=errors(404, 409, 507),
)
def decide(body: DecisionRequest, deps: Deps, desk: Desk, who: PerformanceWriter) -> DecisionAnswer:
    """Accept a change, have it investigated, or ignore it. The author is the key's name."""
    from ourvidz.perf.decisions import Verb
    from ourvidz.perf.decisions import decide as decided

    survey = desk.look().survey
    now = desk.now()
    made = decided(
        survey.finding(body.target),
        Verb(body.verb),
        author=_author(deps, who),
        note=body.note,
        decision_id=new_id("dec", now),
        now=now,
        before=survey.decisions,
    )
    return _kept(deps, made)


@router.post(
    "/performance/decisions/{decision_id}/undo",
    operation_id="undo_decision",
    status_code=201,
    response_model=DecisionAnswer,
    responses=errors(404, 409, 507),
)
def undo_decision(
    decision_id: Annotated[str, Path(max_length=100, description="The decision's id.")],
    body: UndoRequest,
    deps: Deps,
    desk: Desk,
    who: PerformanceWriter,
) -> DecisionAnswer:
    """Take a decision back. It stays in the list, and so does this."""
    from ourvidz.perf.decisions import undo

    now = desk.now()
    made = undo(
        decision_id,
        author=_author(deps, who),
        note=body.note,
        decision_id=new_id("dec", now),
        now=now,
        before=desk.look().survey.decisions,
    )
    return _kept(deps, made)


# History, claims, goals


@router.get(
    "/performance/histories",
    operation_id="list_histories",
    response_model=HistoryList,
    responses=errors(),
)
def list_histories(desk: Desk, who: MetricsReader) -> HistoryList:
    """List histories of other machines: the shipped one and those that were imported."""
    del who
    return HistoryList(
        data=[
            HistoryAnswer(
                name=each.name,
                about=each.history.about,
                num_records=len(each.history.records),
                num_claims=len(each.history.claims),
            )
            for each in desk.look().histories
        ]
    )


@router.get(
    "/performance/claims",
    operation_id="get_claims",
    response_model=ClaimsAnswer,
    responses=errors(),
)
def get_claims(
    deps: Deps, desk: Desk, who: MetricsReader, history: HistoryName = None
) -> ClaimsAnswer:
    """Read what a history's document stated, recomputed and judged with its reasons.

    Sweeps that this installation kept decide claims about settings.
    """
    del who
    from ourvidz.perf.history.evidence import effects_under
    from ourvidz.perf.history.report import report_of
    from ourvidz.perf.survey import BENCHMARKS_FOLDER

    named = desk.history(history)
    effects = effects_under(deps.settings.data_dir / BENCHMARKS_FOLDER)
    return ClaimsAnswer(**report_of(named, effects=effects).to_json())


@router.get(
    "/performance/goals", operation_id="get_goals", response_model=GoalsAnswer, responses=errors()
)
def get_goals(
    deps: Deps, desk: Desk, who: MetricsReader, history: HistoryName = None
) -> GoalsAnswer:
    """Read goals and planned optimisations, with progress computed from this machine's jobs."""
    del who
    from ourvidz.perf.planned import goals_report

    report = goals_report(
        desk.history(history),
        own=_goals(deps),
        records=desk.look().survey.own,
        profile=deps.settings.profile,
        now=desk.now().date(),
    )
    return GoalsAnswer(**report.to_json())


@router.post(
    "/performance/goals",
    operation_id="add_goal",
    status_code=201,
    response_model=GoalAnswer,
    responses=errors(507),
)
def add_goal(body: GoalRequest, deps: Deps, desk: Desk, who: PerformanceWriter) -> GoalAnswer:
    """Keep a goal beside those of the settings; the answer tells how far it is reached."""
    del who
    from ourvidz.catalog.config import GoalEntry
    from ourvidz.perf.plain import plain
    from ourvidz.perf.planned import KeptGoal, goal_to_json, measure_goals

    name = deps.catalogue.job_type(body.job_type).name
    entry = GoalEntry.model_validate(body.model_dump() | {"job_type": name})
    goal = KeptGoal(id=new_id("goal", desk.now()), source="api", entry=entry)
    deps.store.add_goal(goal_to_json(goal))
    own = desk.look().survey.own
    (measured,) = measure_goals([goal], own, now=desk.now().date())
    return GoalAnswer(**plain(measured))


@router.delete(
    "/performance/goals/{goal_id}",
    operation_id="remove_goal",
    response_model=RemovedGoal,
    responses=errors(404),
)
def remove_goal(
    goal_id: Annotated[str, Path(description="The goal's id.")], deps: Deps, who: PerformanceWriter
) -> RemovedGoal:
    """Forget a goal that was kept here. Those of the settings stand in the settings."""
    del who
    deps.store.remove_goal(known_id(goal_id))
    return RemovedGoal(id=goal_id)


@router.get(
    "/performance/rollouts",
    operation_id="list_rollouts",
    response_model=RolloutList,
    responses=errors(),
)
def list_rollouts(deps: Deps, desk: Desk, who: MetricsReader) -> RolloutList:
    """Compare presets and settings that a share of jobs gets with those that the others get."""
    del who
    from ourvidz.catalog.rollouts import goes_on
    from ourvidz.perf.rollouts import compare_rollouts

    today = desk.now().date()
    found = desk.answer("rollouts", lambda seen: compare_rollouts(seen.survey.own), is_dated=False)
    return RolloutList(
        settings=[
            each.model_dump(mode="json") | {"goes_on": goes_on(each, today)}
            for each in deps.settings.rollouts
        ],
        data=[each.to_json() for each in found],
    )


# Predictions and reports


@router.post(
    "/performance/predictions",
    operation_id="predict_job",
    response_model=PredictionAnswer,
    responses=errors(),
)
def predict(body: PredictionRequest, deps: Deps, desk: Desk, who: JobsReader) -> PredictionAnswer:
    """Predict what a job would take, with its interval, without submitting it."""
    del who
    from ourvidz.core.workload import workload_facts
    from ourvidz.perf.plain import plain

    request = resolve(
        catalogue=deps.catalogue,
        settings=deps.settings,
        prompt=_ANY_PROMPT,
        seed=0,
        job_type=body.job_type,
        preset=body.preset,
        values={name: getattr(body, name) for name in PARAMETER_NAMES},
    )
    predictor = desk.answer("predictor", lambda seen: deps.forecaster.refresh())
    found = predictor.predict(workload_facts(request), environment_key=None, state=body.state)
    assert found is not None, "a resolved request has sizes"
    return PredictionAnswer(**plain(found, without={"sds", "width"}))


@router.get(
    "/performance/report",
    operation_id="performance_report",
    response_model=None,
    responses={**errors(), **_DOCUMENT},
)
def get_report(
    deps: Deps,
    desk: Desk,
    who: MetricsReader,
    format: Format = "json",
    since: Annotated[
        str | None,
        Query(
            max_length=40, description="Only later jobs: 24h, 7d, 4w, or a day such as 2026-11-01."
        ),
    ] = None,
) -> Response:
    """Read the report that `ourvidz perf report` writes: JSON, Markdown, or one HTML page."""
    del who
    from ourvidz.perf.report import collect
    from ourvidz.perf.report.expected import expectations
    from ourvidz.perf.report.period import since_of

    now = desk.now()
    seen = desk.look()
    own = seen.survey.own
    report = collect(
        HeldRecords(own),
        goals=_goals(deps),
        predictor=expectations(own),
        now=now,
        job_types=tuple(deps.catalogue.job_types),
        profile=deps.settings.profile,
        since=None if since is None else since_of(since, now=now),
        decisions=seen.survey.decisions,
        histories=seen.histories,
        runs=_protocol_reports(deps),
        stars=seen.survey.stars,
    )
    return _document(report, format)


@router.get(
    "/performance/digest",
    operation_id="performance_digest",
    response_model=None,
    responses={**errors(), **_DOCUMENT},
)
def get_digest(
    deps: Deps,
    desk: Desk,
    who: MetricsReader,
    format: Format = "json",
    period: Annotated[
        Literal["weekly", "monthly"], Query(description="Of what length.")
    ] = "weekly",
    at: Annotated[
        str | None,
        Query(max_length=40, description="A day in it; left out: the last that is over."),
    ] = None,
) -> Response:
    """Read a week or a month: what ran, trends, the effect of each optimisation, goals."""
    del who
    from ourvidz.perf.report import digest_of
    from ourvidz.perf.report.period import Kind, moment_of, period_of

    now, kind = desk.now(), Kind(period)
    found = (
        period_of(now, kind).before if at is None else period_of(moment_of(at, param="at"), kind)
    )
    if found.begin > now:
        raise InvalidRequest(f"{at!r} lies ahead.", param="at", hint="Name a day gone by.")
    seen = desk.look()
    digest = digest_of(
        seen.survey.own,
        period=found,
        now=now,
        profile=deps.settings.profile,
        goals=_goals(deps),
        decisions=seen.survey.decisions,
        histories=seen.histories,
    )
    return _document(digest, format)


# What they share


def _goals(deps: AppDeps) -> Sequence[KeptGoal]:
    from ourvidz.perf.planned import kept_goals

    return kept_goals(deps.settings.performance.goals, deps.store)


def _protocol_reports(deps: AppDeps) -> list[dict[str, Any]]:
    from ourvidz.perf.survey import BENCHMARKS_FOLDER, protocol_reports

    return protocol_reports(deps.settings.data_dir / BENCHMARKS_FOLDER)


def _document(report: Report | Digest, wanted: str) -> Response:
    from ourvidz.perf.report import render_html, render_markdown

    if wanted == "markdown":
        return Response(render_markdown(report), media_type="text/markdown")
    if wanted == "html":
        return HTMLResponse(render_html(report), headers={"Content-Security-Policy": _PAGE_POLICY})
    return JSONResponse(report.to_dict())


def _job_types(deps: AppDeps, name: str | None) -> list[str]:
    if name is None:
        return list(deps.catalogue.job_types)
    return [deps.catalogue.job_type(name).name]


def _narrowed(seen: Seen, job_types: Sequence[str] | None, history: bool) -> Survey:
    """Return the survey of some job types, with or without imported records."""
    survey = seen.survey
    if job_types is None and history:
        return survey

    def chosen(records: Sequence[PerformanceRecord]) -> list[PerformanceRecord]:
        return [each for each in records if job_types is None or each.job_type in job_types]

    return replace(
        survey, own=chosen(survey.own), imported=chosen(survey.imported) if history else []
    )


def _series(series: Series, num_points: int) -> SeriesAnswer:
    """Return a history of which the last points alone are shown."""
    shown = replace(series, points=_last(series.points, num_points))
    return SeriesAnswer(**shown.to_json(), num_points=len(series.points))


def _last(items: tuple[T, ...], number: int) -> tuple[T, ...]:
    return items[len(items) - min(number, len(items)) :]


def _spans(deps: AppDeps, who: Principal, job_id: str) -> list[SpanAnswer]:
    """Return a job's spans; none where the job was deleted, which operators alone may read."""
    try:
        job = deps.store.get(job_id, tenant=who.tenant_filter)
    except NotFound:
        if who.tenant_filter is not None:
            raise
        return []
    return [SpanAnswer(**span) for span in (job.result or {}).get("spans", ())]


def _device_series(deps: AppDeps, desk: PerformanceDesk, job_id: str) -> DeviceSeries | None:
    """Return what a record holds to be drawn; read for one job, for it is no short list."""
    records = desk.look().kept.records
    kept = next((each for each in records if each.record.id == job_id), None)
    if kept is None:
        return None
    found = deps.store.perf_records(after=kept.seq - 1, limit=1)
    series = found[0].body.get("device_series") if found and found[0].id == kept.seq else None
    if not series or "at_s" not in series:
        return None
    return DeviceSeries(**{name: series.get(name, []) for name in DeviceSeries.model_fields})


def _author(deps: AppDeps, who: Principal) -> str:
    """Return the key's name and id; somebody on this machine, while no key exists, is local."""
    if who.key_id is None:
        return _LOCAL_AUTHOR
    key = next((key for key in deps.store.keys(tenant=who.tenant) if key.id == who.key_id), None)
    return who.key_id if key is None else f"{key.name} ({key.id})"


def _kept(deps: AppDeps, decision: Decision) -> DecisionAnswer:
    from ourvidz.perf.decisions import keep, to_json

    keep(deps.store, decision)
    return DecisionAnswer(**to_json(decision))
