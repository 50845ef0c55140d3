"""A protocol run's report as Markdown: figures, verdicts, hints, and what to test next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ourvidz.perf.measures import Unit, unit_of
from ourvidz.perf.protocol.judge import FOLLOWS_PROMPT
from ourvidz.perf.protocol.plan import IN_PROCESS
from ourvidz.perf.protocol.results import RunReport

_MARKS = {"ok": "ok", "warn": "**warns**", "refuse": "**refuses**"}
_SMALLEST_SHARE = 0.01
_QUALITY = (
    "sharpness",
    "exposure",
    "clipped",
    "flicker",
    "black_frames",
    "frozen_frames",
    FOLLOWS_PROMPT,
)


def render_report(report: RunReport) -> str:
    """Return a whole report."""
    parts = [
        *_head(report),
        *_preflight(report),
        *_groups(report),
        *_phases(report),
        *_outputs(report),
        *_verdicts(report),
        *_failures(report),
        *_listed("What stands out", (hint["text"] for hint in _about(report.hints))),
        *_listed(
            "What to test next", (f"`{each['command']}`: {each['why']}" for each in report.next)
        ),
    ]
    return "\n".join(parts).rstrip() + "\n"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a Markdown table; nothing without rows."""
    lines = [f"| {' | '.join(_cell(each) for each in row)} |" for row in rows]
    if not lines:
        return []
    return [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}", *lines, ""]


def told(measure: str, value: float | None) -> str:
    """Return a measure's value as people read it."""
    if value is None:
        return ""
    if unit_of(measure) is Unit.BYTES:
        return f"{value / 2**30:.2f} GiB"
    return seconds(value)


def seconds(value: float | None) -> str:
    """Return seconds with three digits."""
    if value is None:
        return ""
    if value < 0.1:
        return f"{1000 * value:.3g} ms"
    return f"{value:.3g} s" if value < 100 else f"{value:.0f} s"


def difference_text(difference: Mapping[str, Any] | None) -> str:
    """Return how far outputs are from others at the same seeds."""
    if difference is None:
        return ""
    if difference["is_identical"]:
        return "identical"
    return f"{difference['psnr_db']:.1f} dB, SSIM {difference['ssim']:.3f}"


def machine_of(environment: Mapping[str, Any]) -> str:
    """Return what a person would call the machine."""
    gpus = environment.get("gpus") or ()
    names = [str(gpu.get("name")) for gpu in gpus]
    cores = environment.get("cpu_cores")
    cpu = f"{environment.get('cpu', 'unknown processor')}, {cores} cores"
    return ", ".join([*names, cpu])


def head_of(report: RunReport, title: str) -> list[str]:
    """Return the first lines: what ran, where, and of which commit."""
    packages: Mapping[str, str] = report.environment.get("packages") or {}
    versions = ", ".join(
        f"{name} {packages[name]}" for name in ("torch", "diffusers") if name in packages
    )
    return [
        f"# {title}",
        "",
        f"- run `{report.id}`, {report.created_at}, {report.status}: "
        f"{report.num_done} of {report.num_planned} runs",
        f"- OurVidz {report.environment.get('ourvidz')}, commit {report.commit or 'unknown'}, "
        f"seed {report.seed}" + (f", {versions}" if versions else ""),
        f"- {machine_of(report.environment)}",
        f"- profile {report.plan['profile']}, "
        + (
            "jobs in this process"
            if report.plan["door"] == IN_PROCESS
            else "jobs through the API of a running service"
        ),
        "",
    ]


def _head(report: RunReport) -> list[str]:
    outcome = report.outcome.replace("_", " ")
    lines = head_of(report, f"Protocol run, suite {report.suite}")
    if report.verdicts:
        lines += [f"**{'no verdict' if outcome == 'none' else outcome}**", ""]
    return lines


def _preflight(report: RunReport) -> list[str]:
    rows = [
        (each["name"], _MARKS[each["level"]], each["text"], each["reason"])
        for each in report.preflight
    ]
    return ["## Pre-flight", "", *table(("check", "", "found", "why it matters"), rows)]


def _groups(report: RunReport) -> list[str]:
    rows: list[Sequence[str]] = []
    for group in report.groups:
        total = group["measures"].get("total")
        success = group["success"]
        rows.append(
            (
                group["case"],
                group["state"],
                str(group["n"]),
                told("total", total and total["median"]),
                _interval("total", total),
                "" if not total or total["cv"] is None else f"{total['cv']:.1%}",
                told("step", _median(group, "step")),
                told("peak_memory", _median(group, "peak_memory")),
                "" if success is None else f"{success['successes']}/{success['n']}",
            )
        )
    header = ("case", "state", "n", "median", "95 %", "CV", "step", "GPU peak", "success")
    return ["## Times", "", *table(header, rows)]


def _phases(report: RunReport) -> list[str]:
    rows = [
        (
            group["case"],
            group["state"],
            ", ".join(
                f"{name} {told(name, _median(group, name))} ({share:.0%})"
                for name, share in sorted(group["shares"].items(), key=lambda item: -item[1])
                if share >= _SMALLEST_SHARE
            ),
        )
        for group in report.groups
    ]
    text = "Medians, and shares of all runs together; phases below 1 % are left out."
    return ["## Phases", "", text, "", *table(("case", "state", "where the time goes"), rows)]


def _outputs(report: RunReport) -> list[str]:
    present = [
        name for name in _QUALITY if any(name in group["quality"] for group in report.groups)
    ]
    rows = [
        (
            group["case"],
            f"{group['quality'].get('outputs', 0):.0f}",
            *(_number(group["quality"].get(name)) for name in present),
        )
        for group in report.groups
    ]
    if not present:
        return []
    header = ("case", "files", *(name.replace("_", " ") for name in present))
    return [
        "## Outputs",
        "",
        "Medians over files; of prompts followed, the share.",
        "",
        *table(header, rows),
    ]


def _verdicts(report: RunReport) -> list[str]:
    rows: list[Sequence[str]] = []
    for each in report.verdicts:
        baseline = each["baseline"]
        name = "" if baseline is None else f"{baseline['name']} (n = {baseline['n']})"
        outcome = each["outcome"].replace("_", " ")
        rows.append((each["case"], outcome, name, each["text"], difference_text(each["output"])))
    header = ("case", "verdict", "against", "text", "output")
    lines = ["## Verdicts", "", *table(header, rows)]
    for each in report.verdicts:
        verdict = each["verdict"]
        if verdict is None:
            continue
        found = [
            f"- `{measure['measure']}`: {measure['text']}"
            for measure in verdict["measures"]
            if measure["outcome"] in {"regression", "improvement"}
        ]
        if found:
            lines += [f"{each['case']}:", "", *found, ""]
        if verdict["software"]:
            changed = ", ".join(
                f"{one['field']} {one['before']} to {one['after']}" for one in verdict["software"]
            )
            lines += [f"Between the two sides of {each['case']} changed: {changed}.", ""]
    return lines if rows else []


def _failures(report: RunReport) -> list[str]:
    rows = [
        (each["key"], each["error"] or "", ", ".join(each["faults"])) for each in report.failures
    ]
    found = table(("run", "error", "output checks"), rows)
    return ["## Failures", "", *found] if found else []


def _about(hints: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for hint in hints:
        about = hint["about"]
        yield {"text": f"{about}: {hint['text']}" if about else hint["text"]}


def _listed(title: str, lines: Iterable[str]) -> list[str]:
    found = [f"- {line}" for line in lines]
    return [f"## {title}", "", *found, ""] if found else []


def _median(group: Mapping[str, Any], name: str) -> float | None:
    found = group["measures"].get(name)
    return None if found is None else float(found["median"])


def _interval(measure: str, summary: Mapping[str, Any] | None) -> str:
    interval = None if summary is None else summary["interval"]
    if interval is None:
        return ""
    return f"{told(measure, interval['low'])} to {told(measure, interval['high'])}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
