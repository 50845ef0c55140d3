"""Finished runs of a job that never ran, as a protocol run would leave them."""

from datetime import UTC, datetime

import numpy as np

from ourvidz.perf.protocol.plan import Plan, RunKind, cases_of_run
from ourvidz.perf.protocol.results import FinishedRun

PHASES = {"encode": 0.12, "prepare": 0.05, "denoise": 24.0, "decode": 1.6, "save": 0.9}
NOISE = 0.01
ENVIRONMENT = {"ourvidz": "1.0", "commit": "c0ffee", "cpu": "Some CPU", "cpu_cores": 2, "gpus": []}
FINGERPRINT = {
    "machine": {"device": "cuda", "gpu": "NVIDIA H200"},
    "setup": {"precision": "auto"},
    "software": {"ourvidz": "1.0"},
}
BEGIN = 1_767_600_000.0


def make_plan(*job_types, repeats=7, kind=RunKind.RUN, **fields):
    return Plan(
        **{
            "id": "bench_" + "0" * 26,
            "kind": kind,
            "suite": "standard",
            "repeats": repeats,
            "seed": 7,
            "created_at": datetime(2026, 1, 5, tzinfo=UTC).isoformat(),
            "profile": "pocket",
            "cases": cases_of_run(job_types or ("video_fast",), preset="baseline", values={}),
            "environment": ENVIRONMENT,
        }
        | fields
    )


def make_runs(plan, *, seed=1, slower=None, first=0, **fields):
    """Every run of a plan, ended; ``slower`` are factors by phase."""
    rng = np.random.default_rng(seed)
    return [
        make_run(run, index=first + index, rng=rng, slower=slower or {}, **fields)
        for index, run in enumerate(plan.runs())
    ]


def make_run(run, *, index, rng, slower, **fields):
    phases_s = {
        name: seconds * float(np.exp(rng.normal(0, NOISE))) * slower.get(name, 1.0)
        for name, seconds in PHASES.items()
    }
    body = {
        "request": {"preset": run.case.preset, "num_inference_steps": 25, "fidelity": "exact"},
        "environment": FINGERPRINT,
        "state": "resident",
        "compile_state": "eager",
        "total_s": sum(phases_s.values()),
        "phases_s": phases_s,
        "unattributed_s": 0.0,
        "step_times_s": [phases_s["denoise"] / 25] * 25,
        "is_success": True,
        "origin": "protocol",
        "source": "cli",
    } | fields.pop("body", {})
    return FinishedRun(
        **{
            "key": run.key,
            "case": run.case.name,
            "job_type": run.case.job_type,
            "repeat": run.repeat,
            "is_warm_up": run.is_warm_up,
            "seed": run.seed,
            "job_id": f"job_{index:04d}",
            "at": BEGIN + 60.0 * index,
            "wall_s": body["total_s"],
            "body": body,
            "quality": ({"num_frames": 81, "sharpness": 120.0, "flicker": None},),
        }
        | fields
    )
