"""Records of a job that never ran: known times, noise as seen on real machines, seeded."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from ourvidz.perf.record import Origin, PerformanceRecord

BEGIN = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
# Seconds and standard deviation as a share: a resident video on one GPU.
PHASES = {
    "queue_wait": (3.0, 0.8),
    "encode": (0.12, 0.03),
    "prepare": (0.05, 0.08),
    "denoise": (24.0, 0.008),
    "decode": (1.6, 0.02),
    "save": (0.9, 0.08),
    "thumbnail": (0.06, 0.08),
    "probe": (0.08, 0.08),
    "upload": (0.5, 0.10),
    "notify": (0.04, 0.10),
    "unattributed": (0.05, 0.10),
}
COLD = {
    "startup": (4.0, 0.08),
    "load.text_encoder": (9.0, 0.05),
    "load.transformer": (6.0, 0.05),
    "load.vae": (0.8, 0.05),
}
PEAK_BYTES, PEAK_NOISE = 14_000_000_000, 0.001
NUM_STEPS = 25
ENVIRONMENT = {
    "version": 1,
    "machine": {"device": "cuda", "gpu": "NVIDIA H200", "cpu": "Some CPU", "power_limit_w": 700},
    "setup": {"precision": "auto", "techniques_off": [], "model_files": {"wan": "aaaa"}},
    "software": {"ourvidz": "1.0", "torch": "2.11", "driver": "560.1", "commit": "c0ffee"},
    "told": {"gpus": 1},
}
WORKLOAD = {"preset": "baseline", "model": "wan", "num_inference_steps": NUM_STEPS, "width": 480}


def environment(**software):
    """The environment with other versions."""
    return ENVIRONMENT | {"software": ENVIRONMENT["software"] | software}


def make_record(index=0, *, rng=None, slower=None, cold=False, **fields):
    """One run: without ``rng`` exactly its means; ``slower`` are factors by measure."""
    slower = slower or {}

    def noisy(mean, noise):
        factor = 1.0 if rng is None else float(np.exp(rng.normal(0.0, noise)))
        return mean * factor

    phases_s = {
        name: noisy(*of) * slower.get(name, 1.0)
        for name, of in (PHASES | (COLD if cold else {})).items()
    }
    step_s = phases_s["denoise"] / NUM_STEPS * slower.get("step", 1.0)
    peak = noisy(PEAK_BYTES, PEAK_NOISE) * slower.get("peak_memory", 1.0)
    record = PerformanceRecord(
        id=f"job_{index:04d}",
        at=BEGIN + timedelta(minutes=index),
        origin=Origin.LIVE,
        job_type="video_fast",
        workload=WORKLOAD,
        environment=ENVIRONMENT,
        state="cold" if cold else "resident",
        compile_state="eager",
        total_s=sum(phases_s.values()),
        phases_s=phases_s,
        step_times_s=(step_s,) * NUM_STEPS,
        memory={"device_peak_allocated_bytes": round(peak)},
    )
    return replace(record, **fields)


def make_runs(n, *, seed=None, first=0, **fields):
    """Runs a minute apart."""
    rng = None if seed is None else np.random.default_rng(seed)
    return [make_record(first + index, rng=rng, **fields) for index in range(n)]
