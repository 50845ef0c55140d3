"""Hints by rule, each with its evidence, and what to test next. A rule says nothing without both.

A hint is no verdict: it names where the time goes and what is known to help there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ourvidz.core.phase import Phase
from ourvidz.perf.ledger import is_unattributed_alarming
from ourvidz.perf.protocol.plan import SUITES, Plan
from ourvidz.perf.protocol.results import FinishedRun
from ourvidz.perf.verdicts import SMALLEST_N_PHASES, SMALLEST_N_TOTAL, Outcome

_LOAD_SHARE = 0.20
_DECODE_SHARE = 0.25
_ENHANCE_SHARE = 0.30
_FILES_SHARE = 0.15
_DENOISE_SHARE = 0.60
_NOISE_CV = 0.10
_BUSY = 0.80  # of the GPU, on average
_POWER_CAPPED = 0.50
_COLD_S = 1.0  # of loading, below which nobody minds

_FILES = (Phase.SAVE.value, Phase.UPLOAD.value, Phase.THUMBNAIL.value, Phase.PROBE.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hint:
    """One rule that found something."""

    rule: str
    about: str  # a case, or "" for the run as a whole
    text: str  # what was found, and what helps
    evidence: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Next:
    """Something worth testing."""

    command: str
    why: str


def hints_of(
    groups: Iterable[Mapping[str, Any]], warm_ups: Iterable[FinishedRun] = ()
) -> tuple[Hint, ...]:
    """Return what the rules find in groups (``judge.groups_of``) and in warm-ups.

    Args:
        groups: Of runs that count.
        warm_ups: The first jobs of a process: what loading from disk takes.
    """
    found: list[Hint] = []
    for group in groups:
        if group["n"]:
            found += _of_group(group)
    return (*found, *_of_warm_ups(warm_ups))


def _of_group(group: Mapping[str, Any]) -> Iterator[Hint]:
    case = str(group["case"])
    shares: Mapping[str, float] = group["shares"]
    measures: Mapping[str, Mapping[str, Any]] = group["measures"]
    total_s = _median(measures, "total")
    if total_s is None:
        return
    loading = {name: share for name, share in shares.items() if _is_load(name)}
    load = sum(loading.values())
    if load >= _LOAD_SHARE:
        largest = max(loading, key=lambda name: loading[name])
        yield Hint(
            rule="load_share",
            about=case,
            text=f"load is {load:.0%} of the total, most of it {largest}: keep the model resident "
            "(one worker for few models, more GPU memory, or `ourvidz serve` in place of single "
            "commands)",
            evidence={"share": load, "seconds": load * total_s},
        )
    yield from _share_hint(
        case,
        "decode_share",
        shares.get(Phase.DECODE.value, 0.0),
        _DECODE_SHARE,
        total_s,
        "decode is {share:.0%} of the total: fewer frames or pixels shorten it, steps do not",
    )
    yield from _share_hint(
        case,
        "enhance_share",
        shares.get(Phase.ENHANCE_RUN.value, 0.0),
        _ENHANCE_SHARE,
        total_s,
        "the enhancer writes for {share:.0%} of the total: an endpoint of its own (enhancer_url) "
        "takes it off the device, the job type without it leaves it out",
    )
    yield from _share_hint(
        case,
        "files_share",
        sum(shares.get(name, 0.0) for name in _FILES),
        _FILES_SHARE,
        total_s,
        "files take {share:.0%} of the total: look at the disk and at the storage's network",
    )
    nameless_s = _median(measures, Phase.UNATTRIBUTED.value) or 0.0
    if is_unattributed_alarming(nameless_s, total_s):
        yield Hint(
            rule="unattributed",
            about=case,
            text=f"{nameless_s:.2f} s of {total_s:.2f} s have no name: look at what else runs, "
            "and report it if nothing does",
            evidence={"seconds": nameless_s, "share": nameless_s / total_s},
        )
    yield from _of_noise(case, measures["total"])
    yield from _of_device(case, group)
    if group["left_out"]:
        reasons = sorted({why for each in group["left_out"] for why in each["reasons"]})
        yield Hint(
            rule="left_out",
            about=case,
            text=f"{len(group['left_out'])} runs count for nothing ({', '.join(reasons)}): mend "
            "that, and run it again",
            evidence={"runs": float(len(group["left_out"]))},
        )


def _share_hint(
    case: str, rule: str, share: float, least: float, total_s: float, text: str
) -> Iterator[Hint]:
    if share >= least:
        yield Hint(
            rule=rule,
            about=case,
            text=text.format(share=share),
            evidence={"share": share, "seconds": share * total_s},
        )


def _of_noise(case: str, total: Mapping[str, Any]) -> Iterator[Hint]:
    cv = total.get("cv")
    if cv is not None and total["n"] >= SMALLEST_N_TOTAL and cv > _NOISE_CV:
        yield Hint(
            rule="noise",
            about=case,
            text=f"equal runs scatter by {cv:.0%}: only large changes can be seen. End what else "
            "runs on the machine, or run more",
            evidence={"cv": cv, "n": float(total["n"])},
        )


def _of_device(case: str, group: Mapping[str, Any]) -> Iterator[Hint]:
    device: Mapping[str, float] = group["device"]
    busy = device.get("utilisation_mean")
    if busy is not None and busy < _BUSY:
        yield Hint(
            rule="idle_device",
            about=case,
            text=f"the GPU computes for {busy:.0%} of the time: jobs side by side, or batches, "
            "would use the rest",
            evidence={"utilisation": busy},
        )
    capped = device.get("power_capped_share", 0.0)
    if capped >= _POWER_CAPPED:
        yield Hint(
            rule="power_capped",
            about=case,
            text=f"the power limit holds the clock back for {capped:.0%} of the time: normal "
            "under full load, and times depend on the limit that is set",
            evidence={"share": capped},
        )


def _of_warm_ups(warm_ups: Iterable[FinishedRun]) -> Iterator[Hint]:
    loads: dict[str, float] = {}
    for run in warm_ups:
        seconds = sum(s for name, s in run.record.phases_s.items() if _is_load(name))
        loads[run.case] = max(seconds, loads.get(run.case, 0.0))
    if loads:
        case, seconds = max(loads.items(), key=lambda item: item[1])
        if seconds >= _COLD_S:
            yield Hint(
                rule="cold_start",
                about="",
                text=f"the first job of a process loads for up to {seconds:.1f} s ({case}): a "
                "worker that stays up pays that once",
                evidence={"seconds": seconds},
            )


def next_tests(
    plan: Plan,
    groups: Sequence[Mapping[str, Any]],
    verdicts: Sequence[Mapping[str, Any]],
    *,
    all_job_types: Sequence[str],
    status: str,
) -> tuple[Next, ...]:
    """Return what to test next, the most useful first."""
    found: list[Next] = []
    if status != "complete":
        found.append(
            Next(command=f"ourvidz bench run --resume {plan.id}", why="it was interrupted")
        )
    for verdict in verdicts:
        if verdict["outcome"] == Outcome.REGRESSION.value:
            where = ", ".join(verdict.get("regressions", ()))
            found.append(
                Next(
                    command=f"ourvidz perf trend --job-type {verdict['job_type']}",
                    why=f"{where} became slower: see when, and what else changed then",
                )
            )
    most = max((int(group["n"]) for group in groups), default=0)
    if plan.repeats < SMALLEST_N_PHASES:
        suite = SUITES["standard"]
        found.append(
            Next(
                command=f"ourvidz bench run --suite {suite.name}",
                why=f"{most} runs allow no verdict, {suite.repeats} do",
            )
        )
    absent = [name for name in all_job_types if name not in {c.job_type for c in plan.cases}]
    if absent:
        found.append(
            Next(
                command=f"ourvidz bench run --suite {plan.suite} --job-types {','.join(absent)}",
                why=f"{len(absent)} job types have no run here",
            )
        )
    found += _worth_varying(groups)
    if not any(verdict["baseline"] for verdict in verdicts) and plan.repeats >= SMALLEST_N_TOTAL:
        found.append(
            Next(
                command=f"ourvidz bench run --suite {plan.suite} --baseline {plan.id}",
                why="after the next update: this run is its baseline",
            )
        )
    return tuple(found)


def _worth_varying(groups: Sequence[Mapping[str, Any]]) -> Iterator[Next]:
    timed = [(_median(group["measures"], "total") or 0.0, group) for group in groups if group["n"]]
    if not timed:
        return
    _, group = max(timed, key=lambda pair: pair[0])
    share = group["shares"].get(Phase.DENOISE.value, 0.0)
    steps = group["workload"].get("num_inference_steps")
    if share >= _DENOISE_SHARE and isinstance(steps, int) and steps > 1:
        fewer = sorted({max(1, round(steps * part)) for part in (0.6, 0.75)} | {steps})
        yield Next(
            command=f"ourvidz bench sweep --job-type {group['job_type']} --vary "
            f"num_inference_steps={','.join(str(each) for each in fewer)}",
            why=f"denoise is {share:.0%} of {group['case']}, the longest job: fewer steps cut it",
        )
    if group["workload"].get("fidelity") == "exact" and share >= _DENOISE_SHARE:
        yield Next(
            command=f"ourvidz bench sweep --job-type {group['job_type']} "
            "--vary fidelity=exact,high",
            why=f"denoise is {share:.0%} of {group['case']}, and 8 bits act on nothing else",
        )


def _is_load(phase: str) -> bool:
    return phase.startswith("load.") or phase == Phase.ENHANCE_LOAD.value


def _median(measures: Mapping[str, Mapping[str, Any]], name: str) -> float | None:
    found = measures.get(name)
    return None if found is None else float(found["median"])
