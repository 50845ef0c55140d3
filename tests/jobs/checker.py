"""What must hold of every job's history, whatever happened to the processes around it.

Modelled on the checks that distributed queues are tested with: nothing accepted is lost, each job
ends once, each delivers at most one attempt's output, tokens grow, events have no gaps.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence

from ourvidz.core.errors import NotFound
from ourvidz.core.job import JobState
from ourvidz.jobs.model import TERMINAL_EVENTS, TERMINAL_STATES, Attempt, Event, EventKind, Job
from ourvidz.jobs.store import JobStore

_PAGE = 500

# A transaction takes its time before it waits for locks, so two may be told in another order.
_LOCK_WAIT_S = 10.0

# Which state an event may find a job in, and which it leaves. None: as it was.
_TRANSITIONS: dict[EventKind, tuple[set[JobState | None], JobState | None]] = {
    EventKind.SUBMITTED: ({None}, JobState.QUEUED),
    EventKind.CLAIMED: ({JobState.QUEUED}, JobState.RUNNING),
    EventKind.MOVED: ({JobState.QUEUED}, None),
    EventKind.CANCEL_REQUESTED: ({JobState.RUNNING}, None),
    EventKind.SUCCEEDED: ({JobState.RUNNING}, JobState.SUCCEEDED),
    EventKind.FAILED: ({JobState.RUNNING}, JobState.FAILED),
    EventKind.CANCELLED: ({JobState.QUEUED, JobState.RUNNING}, JobState.CANCELLED),
    EventKind.REQUEUED: (
        {JobState.RUNNING, JobState.FAILED, JobState.CANCELLED},
        JobState.QUEUED,
    ),
}


def check_store(
    store: JobStore, accepted: Iterable[str], *, must_be_terminal: bool = True
) -> list[str]:
    """Return what is wrong with the jobs whose submit was acknowledged; empty if nothing is."""
    problems: list[str] = []
    for job_id in accepted:
        problems += check_job(store, job_id, must_be_terminal=must_be_terminal)
    return problems


def check_job(store: JobStore, job_id: str, *, must_be_terminal: bool = True) -> list[str]:
    """Return what is wrong with one accepted job."""
    try:
        job = store.get(job_id)
    except NotFound as error:
        return [f"{job_id}: lost ({error})"]
    events = read_events(store, job_id)
    attempts = store.attempts(job_id)
    problems = [
        *check_events(job, events),
        *check_attempts(job, attempts, events),
        *_check_outputs(store, job, events),
    ]
    if must_be_terminal and job.state not in TERMINAL_STATES:
        problems.append(f"still {job.state}")
    return [f"{job_id}: {problem}" for problem in problems]


def read_events(store: JobStore, job_id: str) -> list[Event]:
    """Return a job's whole history."""
    events: list[Event] = []
    while page := store.events(job_id, after=len(events), limit=_PAGE):
        events += page
    return events


def check_events(job: Job, events: Sequence[Event]) -> list[str]:
    """Return gaps, steps back in time and transitions that are not legal."""
    problems: list[str] = []
    if [event.seq for event in events] != list(range(1, len(events) + 1)):
        problems.append(f"events have gaps: {[event.seq for event in events]}")
    if job.event_seq != len(events):
        problems.append(f"event_seq is {job.event_seq}, there are {len(events)} events")
    if any(later.at < event.at - _LOCK_WAIT_S for event, later in itertools.pairwise(events)):
        problems.append("events go back in time")
    state: JobState | None = None
    for event in events:
        allowed, after = _TRANSITIONS.get(event.kind, ({JobState.RUNNING}, None))
        if state not in allowed:
            problems.append(f"event {event.seq} {event.kind} in state {state}")
        is_reopened = event.kind is EventKind.REQUEUED and state in TERMINAL_STATES
        if is_reopened and event.data.get("why") != "retry":
            problems.append(f"event {event.seq} takes a job back out of {state}")
        state = after or state
    if state != job.state:
        problems.append(f"events end in {state}, the job is {job.state}")
    return problems


def check_attempts(job: Job, attempts: Sequence[Attempt], events: Sequence[Event]) -> list[str]:
    """Return tokens that do not grow by one, and attempts that do not fit the events."""
    problems: list[str] = []
    tokens = [attempt.token for attempt in attempts]
    claimed = [event.data["token"] for event in events if event.kind is EventKind.CLAIMED]
    if tokens != list(range(1, len(tokens) + 1)) or claimed != tokens or job.token != len(tokens):
        problems.append(f"tokens: attempts {tokens}, claims {claimed}, job {job.token}")
    running = [attempt.token for attempt in attempts if attempt.outcome is None]
    if running != ([job.token] if job.state is JobState.RUNNING else []):
        problems.append(f"open attempts {running} of a job that is {job.state}")
    if any((attempt.ended_at is None) != (attempt.outcome is None) for attempt in attempts):
        problems.append("an attempt ended without an outcome")
    overlaps = [
        later.token
        for attempt, later in itertools.pairwise(attempts)
        if attempt.ended_at is None or later.started_at < attempt.ended_at - _LOCK_WAIT_S
    ]
    if overlaps:
        problems.append(f"attempts {overlaps} began before the one before had ended")
    return problems


def _check_outputs(store: JobStore, job: Job, events: Sequence[Event]) -> list[str]:
    problems: list[str] = []
    kinds = Counter(event.kind for event in events)
    successes = [event for event in events if event.kind is EventKind.SUCCEEDED]
    if len(successes) > 1:
        problems.append(f"published {len(successes)} times")
    retries = sum(event.data.get("why") == "retry" for event in events)
    ends = sum(kinds[kind] for kind in TERMINAL_EVENTS)
    if ends > retries + 1:
        problems.append(f"{ends} ends with {retries} retries")
    published = {asset.id for asset in store.assets(job.id)}
    said = {asset for event in successes for asset in event.data["assets"]}
    if job.state is not JobState.SUCCEEDED and published:
        problems.append(f"has outputs and is {job.state}")
    if not published <= said:
        problems.append(f"outputs that no event tells of: {sorted(published - said)}")
    return problems
