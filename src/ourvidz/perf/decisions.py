"""What people decided about a change or a verdict: accepted, to be investigated, ignored.

Decisions are kept for ever. The list is only appended to; taking one back appends too, and what
holds now is computed by reading the list from its begin.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from ourvidz.core.errors import IllegalState, InvalidRequest, NotFound
from ourvidz.perf.plain import plain

_LONGEST_AUTHOR = 200
_LONGEST_NOTE = 4_000


class Verb(StrEnum):
    """What was decided."""

    ACCEPT = "accept"  # the new level is the baseline from here on
    INVESTIGATE = "investigate"  # somebody looks for the cause
    IGNORE = "ignore"  # known, and of no interest
    UNDO = "undo"  # an earlier decision no longer holds


class Effect(StrEnum):
    """What a finding says of the speed."""

    REGRESSION = "regression"
    IMPROVEMENT = "improvement"
    MIXED = "mixed"  # slower in some measures, faster in others
    NONE = "none"  # neither


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What can be decided upon: a change point's or a verdict's essence."""

    id: str
    series: str  # in which a baseline would begin anew
    effect: Effect
    from_at: datetime  # the first run of the new level
    from_record: str  # its id
    text: str  # in one line, kept with the decision


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """One entry of the list."""

    id: str
    at: datetime
    verb: Verb
    author: str
    note: str
    finding: Finding
    undoes: str | None = None  # the decision that no longer holds, of an ``undo``


class DecisionStore(Protocol):
    """A place that keeps decisions as JSON values. It can't change or forget any."""

    def add_decision(self, decision: Mapping[str, Any]) -> None:
        """Append.

        Raises:
            IllegalState: A decision of that id is there.
        """
        ...

    def decisions(self) -> Sequence[Mapping[str, Any]]:
        """Return all, in the order in which they were added."""
        ...


def decide(
    finding: Finding,
    verb: Verb,
    *,
    author: str,
    note: str,
    decision_id: str,
    now: datetime,
    before: Iterable[Decision] = (),
) -> Decision:
    """Return a new decision, not yet kept.

    Args:
        finding: What it is about.
        verb: Not ``undo``; see ``undo``.
        author: Who decided; not empty.
        note: Why; not empty.
        decision_id: A new id.
        now: With a time zone.
        before: Decisions so far.

    Raises:
        InvalidRequest: An empty or too long author or note, or ``undo``.
        IllegalState: The same is decided already.
    """
    if verb is Verb.UNDO:
        raise InvalidRequest("An undo names a decision, not a finding.", param="verb")
    author, note = _text("author", author, _LONGEST_AUTHOR), _text("note", note, _LONGEST_NOTE)
    standing = standing_decisions(before).get(finding.id)
    if standing is not None and standing.verb is verb:
        raise IllegalState(
            f"{finding.id} is decided so already: {verb.value} by {standing.author}.",
            hint=f"ourvidz perf undo {standing.id} takes it back.",
        )
    return Decision(id=decision_id, at=now, verb=verb, author=author, note=note, finding=finding)


def undo(
    target_id: str,
    *,
    author: str,
    note: str,
    decision_id: str,
    now: datetime,
    before: Iterable[Decision],
) -> Decision:
    """Return the entry by which a decision no longer holds.

    What was decided before it about the same finding holds again.

    Raises:
        NotFound: No such decision.
        InvalidRequest: An empty or too long author or note.
        IllegalState: It is an undo itself, or taken back already.
    """
    author, note = _text("author", author, _LONGEST_AUTHOR), _text("note", note, _LONGEST_NOTE)
    listed = list(before)
    target = next((each for each in listed if each.id == target_id), None)
    if target is None:
        raise NotFound(f"There is no decision {target_id!r}.", hint="ourvidz perf decisions")
    if target.verb is Verb.UNDO:
        raise IllegalState(
            "An undo can't be taken back.", hint="Decide anew: accept, investigate or ignore."
        )
    if target_id in _undone(listed):
        raise IllegalState(f"Decision {target_id} is taken back already.")
    return Decision(
        id=decision_id,
        at=now,
        verb=Verb.UNDO,
        author=author,
        note=note,
        finding=target.finding,
        undoes=target_id,
    )


def standing_decisions(decisions: Iterable[Decision]) -> dict[str, Decision]:
    """Return what holds now, by finding: the last one that was not taken back."""
    listed = list(decisions)
    undone = _undone(listed)
    return {
        each.finding.id: each
        for each in listed
        if each.verb is not Verb.UNDO and each.id not in undone
    }


def accepted_since(
    decisions: Iterable[Decision], series: str, *, until: datetime | None = None
) -> Decision | None:
    """Return the accepted change with which a series' baseline begins: the latest in time.

    Args:
        decisions: All so far.
        series: Its id.
        until: Of the changes up to then, that moment included; None for all.
    """
    accepted = [
        each
        for each in standing_decisions(decisions).values()
        if each.verb is Verb.ACCEPT
        and each.finding.series == series
        and (until is None or each.finding.from_at <= until)
    ]
    return max(accepted, key=lambda each: each.finding.from_at, default=None)


def to_json(decision: Decision) -> dict[str, Any]:
    """Return a decision as JSON values."""
    return plain(decision)


def from_json(body: Mapping[str, Any]) -> Decision:
    """Return a decision out of what ``to_json`` gave.

    Raises:
        InvalidRequest: It is none.
    """
    try:
        finding = body["finding"]
        return Decision(
            id=str(body["id"]),
            at=datetime.fromisoformat(body["at"]),
            verb=Verb(body["verb"]),
            author=str(body["author"]),
            note=str(body["note"]),
            finding=Finding(
                id=str(finding["id"]),
                series=str(finding["series"]),
                effect=Effect(finding["effect"]),
                from_at=datetime.fromisoformat(finding["from_at"]),
                from_record=str(finding["from_record"]),
                text=str(finding["text"]),
            ),
            undoes=body.get("undoes"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidRequest(f"This is no decision: {error!r}.", param="decision") from error


def load_decisions(store: DecisionStore) -> tuple[Decision, ...]:
    """Return all of a store's decisions, oldest first."""
    return tuple(map(from_json, store.decisions()))


def keep(store: DecisionStore, decision: Decision) -> None:
    """Append a decision to a store."""
    store.add_decision(to_json(decision))


class JsonLinesDecisions:
    """Decisions in a file, a line each, appended and flushed to the disk.

    For who has no job store, as a benchmark in a pipeline whose file lies in a repository. Lines
    are never changed; a last line that was cut off by a crash is left out when reading.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add_decision(self, decision: Mapping[str, Any]) -> None:
        """Append.

        Raises:
            IllegalState: A decision of that id is there.
        """
        if any(each["id"] == decision["id"] for each in self.decisions()):
            raise IllegalState(f"Decision {decision['id']} is there already.")
        line = json.dumps(decision, ensure_ascii=False, separators=(",", ":"))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = self.path.read_bytes() if self.path.exists() else b""
        with self.path.open("ab") as file:
            # What a crash cut off was never promised to anybody.
            file.truncate(text.rfind(b"\n") + 1)
            file.write(f"{line}\n".encode())
            file.flush()
            os.fsync(file.fileno())

    def decisions(self) -> Sequence[Mapping[str, Any]]:
        """Return all, in the order in which they were added.

        Raises:
            InvalidRequest: A whole line is no JSON.
        """
        if not self.path.exists():
            return ()
        lines = self.path.read_text(encoding="utf-8").split("\n")[:-1]  # the last is cut off
        found: list[Mapping[str, Any]] = []
        for number, line in enumerate(lines, start=1):
            try:
                found.append(json.loads(line))
            except ValueError as error:
                raise InvalidRequest(
                    f"Line {number} of {self.path.name} is no JSON.", param="decisions"
                ) from error
        return tuple(found)


def _undone(decisions: Iterable[Decision]) -> set[str]:
    return {each.undoes for each in decisions if each.undoes is not None}


def _text(name: str, value: str, longest: int) -> str:
    value = value.replace("\0", "").strip()
    if not value:
        raise InvalidRequest(f"A decision needs its {name}.", param=name)
    if len(value) > longest:
        raise InvalidRequest(f"{name} is longer than {longest} characters.", param=name)
    return value
