"""A sweep's report as Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ourvidz.perf.protocol.results import RunReport
from ourvidz.perf.protocol.text import difference_text, head_of, seconds, table

_WIDTH = 40  # of the chart, in characters


def render_sweep(report: RunReport) -> str:
    """Return a sweep's report: settings, changes with intervals, claims, a chart."""
    sweep = report.details["sweep"]
    of = f"{sweep['job_type']}, preset {sweep['preset']}"
    rows = [_row(setting) for setting in sweep["settings"]]
    header = ("setting", "n", "median", "time", "step", "output", "advice", "why")
    changes = [
        (
            each["factor"],
            f"{each['before']} to {each['after']}",
            f"{each['change']:+.1f} %",
            "too few" if each["low"] is None else f"{each['low']:+.1f} to {each['high']:+.1f} %",
            str(each["n"]),
        )
        for each in sweep["changes"]
    ]
    lines = [
        *head_of(report, f"Sweep of {of}"),
        "## Settings",
        "",
        "Each beside the preset as it is, at the same prompts and seeds. Time and step are the "
        "changes against it; output is how far its files are from the preset's.",
        "",
        *table(header, rows),
        "## Changes",
        "",
        "Of the whole job's time, with the 95 % interval of the shift (Hodges-Lehmann).",
        "",
        *table(("factor", "change", "time", "95 %", "n"), changes),
        *_chart(sweep["settings"]),
        *_claims(sweep["claims"]),
    ]
    return "\n".join(lines).rstrip() + "\n"


def change_text(setting: Mapping[str, Any]) -> str:
    """Return a setting's change of time with its interval."""
    speed = setting["speed"]
    if speed is None:
        return ""
    if speed["low"] is None:
        return f"{speed['change']:+.1%} (too few runs)"
    return f"{speed['change']:+.1%} ({speed['low']:+.1%} to {speed['high']:+.1%})"


def output_text(setting: Mapping[str, Any]) -> str:
    """Return how far a setting's outputs are from the preset's."""
    speed = setting["speed"]
    difference = None if speed is None else speed["difference"]
    if difference is None:
        return "" if speed is None else "not comparable"
    return difference_text(difference)


def _row(setting: Mapping[str, Any]) -> tuple[str, ...]:
    step = setting["step_change"]
    return (
        setting["case"],
        str(setting["n"]),
        seconds(setting["median_s"]),
        change_text(setting),
        "" if step is None else f"{step:+.1%}",
        output_text(setting),
        setting["advice"] or "",
        setting["reason"],
    )


def _chart(settings: list[Mapping[str, Any]]) -> list[str]:
    """Return bars of time; those that no other beats in time and output are marked."""
    timed = [each for each in settings if each["median_s"]]
    if not timed:
        return []
    longest = max(each["median_s"] for each in timed)
    width = max(len(each["case"]) for each in timed)
    bars = [
        f"{'*' if each['is_pareto'] else ' '} {each['case']:<{width}} "
        f"{'#' * max(1, math.floor(_WIDTH * each['median_s'] / longest))} "
        f"{seconds(each['median_s'])}"
        for each in sorted(timed, key=lambda each: each["median_s"])
    ]
    text = "Fastest first; `*`: no other setting is both faster and nearer to the preset's output."
    return ["## Time and output", "", text, "", "```", *bars, "```", ""]


def _claims(claims: list[Mapping[str, Any]]) -> list[str]:
    if not claims:
        return []
    rows = [
        (
            claim["id"],
            "" if claim["figures"][0]["stated"] is None else f"{claim['figures'][0]['stated']} %",
            _measured(claim["figures"][0]),
            claim["verdict"],
            claim["reason"],
        )
        for claim in claims
    ]
    return [
        "## What was claimed in 2025",
        "",
        *table(("claim", "stated", "measured here", "verdict", "why"), rows),
    ]


def _measured(figure: Mapping[str, Any]) -> str:
    if figure["recomputed"] is None or not figure["n"]:
        return ""
    interval = figure["interval"]
    spread = "" if interval is None else f" ({interval['low']:.1f} to {interval['high']:.1f})"
    return f"{figure['recomputed']:.1f} %{spread}"
