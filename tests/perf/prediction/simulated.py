"""Jobs of a machine whose truth is known: random settings, the phase model, shapes, noise."""

from datetime import UTC, datetime, timedelta

import numpy as np

from ourvidz.perf.record import Origin, PerformanceRecord

BEGIN = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
ENVIRONMENT = {
    "version": 1,
    "machine": {"device": "cuda", "gpu": "NVIDIA H200", "cpu": "Some CPU", "cpu_cores": 16},
    "setup": {"precision": "auto", "techniques_off": [], "model_files": {"wan2.1": "aaaa"}},
}
CALL_S, TOKEN_S, PAIR_S, PIXEL_S = 0.004, 2.6e9 / 4.0e14, 184_320 / 6.0e14, 3e-8


def workload(**fields):
    """One of the video model at its native size."""
    return {
        "preset": "baseline",
        "profile": "full",
        "model": "wan2.1-t2v-1.3b",
        "family": "wan",
        "width": 480,
        "height": 832,
        "num_frames": 81,
        "num_images": 1,
        "num_inference_steps": 25,
        "scheduler": "unipc",
        "guidance_scale": 6.5,
        "flow_shift": 5.0,
        "fidelity": "exact",
        "enhancer": None,
    } | fields


def drawn(rng):
    """A workload with random settings."""
    is_video = rng.random() < 0.6
    return workload(
        width=int(rng.choice([320, 384, 480])),
        height=int(rng.choice([512, 640, 832])),
        num_frames=int(4 * rng.integers(4, 21) + 1) if is_video else 1,
        num_inference_steps=int(rng.integers(4, 51)),
        guidance_scale=float(rng.choice([1.0, 6.5])),
        enhancer="qwen2.5-7b-instruct" if rng.random() < 0.3 else None,
    )


def truth(asked, *, state="resident", tall_factor=1.0):
    """The phases' seconds without noise.

    ``tall_factor`` makes decoding at the greatest height special.
    """
    frames, area = asked["num_frames"], asked["width"] * asked["height"]
    tokens = ((frames - 1) // 4 + 1) * area / 256
    passes = 2 if asked["guidance_scale"] > 1 else 1
    steps = asked["num_inference_steps"]
    tall = tall_factor if asked["height"] == 832 else 1.0
    phases_s = {
        "encode": 0.06,
        "denoise": steps * (CALL_S + passes * (TOKEN_S * tokens + PAIR_S * tokens**2)),
        "decode": 0.05 + tall * PIXEL_S * frames * area,
        "save": 0.02 + 8e-9 * frames * area,
        "unattributed": 0.003,
    }
    if asked["enhancer"]:
        phases_s["enhance.run"] = 1.5
    if state != "resident":
        phases_s["load.transformer"] = 9.0
    return phases_s


def run(index, asked, *, rng=None, noise=0.03, state="resident", level=1.0, tall=1.0, **fields):
    """One finished job; without ``rng`` exactly its truth."""
    phases_s = {
        name: level * seconds * (1.0 if rng is None else float(np.exp(rng.normal(0.0, noise))))
        for name, seconds in truth(asked, state=state, tall_factor=tall).items()
    }
    values = {
        "id": f"job_{index:05d}",
        "at": BEGIN + timedelta(minutes=index),
        "origin": Origin.LIVE,
        "job_type": "video_fast",
        "workload": asked,
        "environment": ENVIRONMENT,
        "state": state,
        "compile_state": "eager",
        "total_s": sum(phases_s.values()),
        "phases_s": phases_s,
    }
    return PerformanceRecord(**(values | fields))


def runs(n, *, seed, **options):
    """Jobs with random settings, a minute apart."""
    rng = np.random.default_rng(seed)
    return [run(index, drawn(rng), rng=rng, **options) for index in range(n)]
