"""A load test's report as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ourvidz.perf.protocol.results import RunReport
from ourvidz.perf.protocol.text import head_of, seconds, table

_PERCENTILES = ("p90", "p95", "p99")


def render_load(report: RunReport) -> str:
    """Return a load test's report: what came, what was served in time, what failed."""
    load: Mapping[str, Any] = report.details["load"]
    plan = load["plan"]
    cap = plan["concurrency"]
    lines = [
        *head_of(report, "Load test"),
        f"{plan['rate_s']:g} jobs a second on average for {plan['duration_s']:g} s "
        f"({', '.join(plan['job_types'])}), open loop (Poisson, seed {plan['seed']})"
        + ("" if cap is None else f", {cap} under way at most")
        + f"; a job is in time within {plan['deadline_s']:g} s of when it was due.",
        "",
        *table(
            ("offered", "served", "in time", "until the last end", "under way at most"),
            [
                (
                    f"{load['offered_s']:.3g}/s",
                    f"{load['throughput_s']:.3g}/s",
                    f"{load['figures'][0]['goodput_s']:.3g}/s",
                    seconds(load["elapsed_s"]),
                    str(load["most_under_way"]),
                )
            ],
        ),
        "## Latency",
        "",
        "From when a job was due to its end; percentiles only where there are jobs enough.",
        "",
        *table(
            ("jobs", "came", "succeeded", "in time", "median", *_PERCENTILES, "longest", "wait"),
            [_row(figures) for figures in load["figures"]],
        ),
        *_failures(load["figures"][0]["failures"]),
    ]
    if load["latest_send_s"] > 1.0:
        lines += [
            f"The client itself was late by up to {seconds(load['latest_send_s'])}: part of the "
            "latency is its own.",
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def _row(figures: Mapping[str, Any]) -> tuple[str, ...]:
    latency, wait, success = figures["latency"], figures["wait"], figures["success"]
    span = "" if success is None else f" ({success['low']:.0%} to {success['high']:.0%})"
    return (
        figures["job_type"] or "all",
        str(figures["arrived"]),
        f"{figures['succeeded']}{span}",
        str(figures["in_time"]),
        "" if latency is None else seconds(latency["median"]),
        *("" if latency is None else seconds(latency[name]) for name in _PERCENTILES),
        "" if latency is None else seconds(latency["maximum"]),
        "" if wait is None else seconds(wait["median"]),
    )


def _failures(failures: Mapping[str, int]) -> list[str]:
    rows = [(name, str(count)) for name, count in failures.items()]
    found = table(("class", "jobs"), rows)
    return ["## Failures", "", *found] if found else []
