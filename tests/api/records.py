"""Simulated performance records in a store, as if jobs had left them."""

from ourvidz.jobs.model import Job
from tests.jobs.factory import make_asset, make_job


def body_of(run) -> dict:
    """What a worker would have composed of a simulated run."""
    return {
        "origin": "live",
        "request": dict(run.workload),
        "environment": dict(run.environment),
        "state": run.state,
        "compile_state": run.compile_state,
        "total_s": run.total_s,
        "phases_s": dict(run.phases_s),
        "step_times_s": list(run.step_times_s),
        "memory": dict(run.memory),
        "flags": list(run.flags),
    }


def put_run(store, run, *, more=None, **fields) -> Job:
    """Let a job end with a simulated run's record, and ``more`` in its body; return it."""
    store.submit((make_job(**fields),))
    job = store.claim("w1", lease_s=20.0, overdue_s=900.0)
    spans = [
        {
            "phase": "denoise",
            "start_s": 0.0,
            "end_s": run.phases_s["denoise"],
            "facts": {"network_calls": 25},
        },
        {"phase": "save", "start_s": 1.0, "end_s": 2.0, "is_background": True},
    ]
    assert store.finish(
        job.id,
        job.token,
        result={"spans": spans},
        assets=[make_asset(1)],
        record=body_of(run) | (more or {}),
    )
    return store.get(job.id)


def fill(store, runs) -> list[str]:
    """Put simulated runs into a store, one after the other; return the jobs' ids."""
    return [put_run(store, run).id for run in runs]
