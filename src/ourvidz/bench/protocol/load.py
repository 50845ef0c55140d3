"""Sends jobs to a running service when they are due, and follows each to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ourvidz.bench.protocol.runner import RUN_KEY
from ourvidz.bench.protocol.via_api import ORIGIN_KEY, Service
from ourvidz.core.cancel import CancelToken
from ourvidz.core.errors import OurVidzError
from ourvidz.perf.protocol.load import (
    REFUSED,
    SKIPPED,
    SUCCEEDED,
    Arrival,
    LoadPlan,
    Served,
)
from ourvidz.perf.record import Origin

_TICK_S = 0.05
_ENDED = frozenset({"succeeded", "failed", "cancelled"})
_UNENDED = "unended"  # when the test's patience ended
_PAGE = 200


@dataclass(kw_only=True, slots=True)
class _Sent:
    arrival: Arrival
    sent_s: float
    job_id: str


@dataclass(kw_only=True, slots=True)
class LoadTest:
    """One thread sends and looks: a list of all jobs a look, however many are under way."""

    service: Service
    plan: LoadPlan
    values: Mapping[str, Any]  # parameters of every job
    run_id: str
    patience_s: float  # after the last arrival, until jobs that still run are given up
    look_s: float  # between two looks at the jobs
    cancel: CancelToken
    tell: Callable[[str], None]

    def run(self, arrivals: Sequence[Arrival]) -> tuple[tuple[Served, ...], float]:
        """Send every job when it is due; return what became of each, and how long it took.

        A cancel ends it early: jobs under way are then cancelled at the service too.
        """
        begin_s = time.monotonic()
        ended: list[Served] = []
        under_way: dict[str, _Sent] = {}
        left = list(arrivals)
        looked_s = 0.0
        told = 0
        while (left or under_way) and not self.cancel.is_cancelled:
            now_s = time.monotonic() - begin_s
            while left and left[0].at_s <= now_s and not self.cancel.is_cancelled:
                self._send(left.pop(0), begin_s, under_way, ended)
                now_s = time.monotonic() - begin_s
            if under_way and now_s - looked_s >= self.look_s:
                self._look(under_way, ended)
                looked_s = time.monotonic() - begin_s
                if len(ended) - told >= max(1, len(arrivals) // 10):
                    told = len(ended)
                    self.tell(f"{now_s:.0f} s: {told} of {len(arrivals)} ended")
            if not left and now_s > arrivals[-1].at_s + self.patience_s:
                break
            self._sleep(left, time.monotonic() - begin_s)
        elapsed_s = time.monotonic() - begin_s
        for sent in under_way.values():
            self._give_up(sent)
            ended.append(_served(sent, _UNENDED))
        return tuple(sorted(ended, key=lambda one: one.index)), elapsed_s

    def _sleep(self, left: Sequence[Arrival], now_s: float) -> None:
        due_s = left[0].at_s - now_s if left else _TICK_S
        time.sleep(max(0.0, min(_TICK_S, due_s)))

    def _send(
        self,
        arrival: Arrival,
        begin_s: float,
        under_way: dict[str, _Sent],
        ended: list[Served],
    ) -> None:
        sent_s = time.monotonic() - begin_s
        cap = self.plan.concurrency
        if cap is not None and len(under_way) >= cap:
            ended.append(_missed(arrival, sent_s, SKIPPED))
            return
        body = {
            **self.values,
            "prompt": arrival.prompt,
            "job_type": arrival.job_type,
            "seed": arrival.seed,
            "metadata": {
                ORIGIN_KEY: Origin.PROTOCOL.value,
                RUN_KEY: f"{self.run_id}/{arrival.index}",
            },
        }
        try:
            job = self.service.ask("POST", "/api/v1/jobs", body=body).json()
        except OurVidzError as error:
            ended.append(_missed(arrival, sent_s, f"{REFUSED}:{error.code}"))
            return
        under_way[job["id"]] = _Sent(arrival=arrival, sent_s=sent_s, job_id=job["id"])

    def _look(self, under_way: dict[str, _Sent], ended: list[Served]) -> None:
        """Read the jobs under way, newest first, as many as there are."""
        wanted = set(under_way)
        cursor: str | None = None
        while wanted:
            path = f"/api/v1/jobs?limit={_PAGE}" + (f"&cursor={cursor}" if cursor else "")
            page = self.service.get(path)
            for job in page["data"]:
                if job["id"] in wanted:
                    wanted.discard(job["id"])
                    if job["state"] in _ENDED:
                        sent = under_way.pop(job["id"])
                        ended.append(_ended(sent, job))
            cursor = page["next_cursor"]
            if cursor is None:
                break
        for job_id in wanted:  # deleted meanwhile: nobody will ever tell
            ended.append(_served(under_way.pop(job_id), "lost"))

    def _give_up(self, sent: _Sent) -> None:
        try:
            self.service.ask("POST", f"/api/v1/jobs/{sent.job_id}/cancel")
        except OurVidzError as error:
            self.tell(f"{sent.job_id} was not cancelled: {error.code}")


def _ended(sent: _Sent, job: Mapping[str, Any]) -> Served:
    """Return a job's fate.

    Its latency is what the client was late by and what the service counted from submission to end:
    no pause between looks is in it, and the two clocks need not agree.
    """
    if job["state"] != SUCCEEDED:
        error: dict[str, Any] = job["error"] or {}
        return _served(sent, str(error.get("code", job["state"])))
    late_s = sent.sent_s - sent.arrival.at_s
    latency_s = late_s + job["finished_unix_s"] - job["created_unix_s"]
    wait_s = job["started_unix_s"] - job["created_unix_s"]
    return _served(sent, SUCCEEDED, latency_s=max(0.0, latency_s), wait_s=max(0.0, wait_s))


def _served(
    sent: _Sent, outcome: str, *, latency_s: float | None = None, wait_s: float | None = None
) -> Served:
    return Served(
        index=sent.arrival.index,
        job_type=sent.arrival.job_type,
        at_s=sent.arrival.at_s,
        sent_s=sent.sent_s,
        latency_s=latency_s,
        wait_s=wait_s,
        outcome=outcome,
        job_id=sent.job_id,
    )


def _missed(arrival: Arrival, sent_s: float, outcome: str) -> Served:
    return Served(
        index=arrival.index,
        job_type=arrival.job_type,
        at_s=arrival.at_s,
        sent_s=sent_s,
        latency_s=None,
        wait_s=None,
        outcome=outcome,
    )
