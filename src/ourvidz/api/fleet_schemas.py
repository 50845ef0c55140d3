"""What the fleet's route says, as types."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from ourvidz.api.schemas import Answer, WorkerGpu

_GROUP = {
    "worker_id": "gpu-1-4711-9f3a2c",
    "device": "cuda:0",
    "state": "busy",
    "num_gpus": 4,
    "num_jobs": 1,
    "resident": {"wan2.1-t2v-1.3b": 14_200_000_000},
    "budget_bytes": 149_000_000_000,
    "weights_bytes": 14_200_000_000,
    "gpu": {
        "utilisation": 0.98,
        "memory_used_bytes": 31_000_000_000,
        "power_w": 655.0,
        "temperature_c": 61.0,
    },
}
_COST = {
    "job_type": "video_fast",
    "num_jobs": 120,
    "run_s": 6.4,
    "gpu_s": 24.1,
    "watt_hours": 4.3,
    "num_measured": 120,
}
_EXAMPLE = {
    "nodes": [{"host": "gpu-1", "num_gpus": 4, "groups": [_GROUP]}],
    "num_groups": 1,
    "num_gpus": 4,
    "gpus_by_state": {"busy": 4},
    "resident": {"wan2.1-t2v-1.3b": 1},
    "use": {
        "window_s": 3600.0,
        "utilisation": 0.2,
        "goodput": 0.17,
        "gpu_s": 2892.0,
        "costs": [_COST],
    },
}


class FleetGroup(Answer):
    """A worker, whose GPUs share each of its jobs."""

    worker_id: str
    device: str
    state: str
    num_gpus: int = Field(description="0: it works on the CPU.")
    num_jobs: int
    resident: dict[str, int] = Field(description="Bytes by model.")
    budget_bytes: int | None = Field(description="Of a GPU; null where no limit is known.")
    weights_bytes: int | None = Field(description="On it; null until the worker has told it.")
    gpu: WorkerGpu | None = Field(description="The first of the group now; null on a CPU.")


class FleetNode(Answer):
    """A machine and its groups."""

    host: str
    num_gpus: int
    groups: list[FleetGroup]


class FleetCost(Answer):
    """What succeeded jobs of a type took, as means."""

    job_type: str
    num_jobs: int
    run_s: float | None = Field(description="From claim to end, without other jobs' turns.")
    gpu_s: float | None = Field(
        description="GPU seconds a job, of all GPUs of its group; null where none ran on a GPU."
    )
    watt_hours: float | None = Field(
        description="Of the GPUs, a job; null where no GPU told its power."
    )
    num_measured: int = Field(description="Jobs behind the watt-hours.")


class FleetUse(Answer):
    """How the GPUs were used, by jobs that ended within the window."""

    window_s: float = Field(description="The fleet is taken to have been as large all that time.")
    utilisation: float | None = Field(
        description="Share of GPU time that encoded, denoised or decoded, 0 to 1; null: no GPU."
    )
    goodput: float | None = Field(
        description="Share of GPU time that denoised, 0 to 1; null: no GPU."
    )
    gpu_s: float = Field(description="GPU seconds of all jobs, failed ones included.")
    costs: list[FleetCost]


class FleetAnswer(Answer):
    """Nodes, groups, what is loaded where, how busy it is and what a job costs."""

    model_config = ConfigDict(frozen=True, json_schema_extra={"examples": [_EXAMPLE]})

    nodes: list[FleetNode]
    num_groups: int
    num_gpus: int
    gpus_by_state: dict[str, int] = Field(description="By the state of their worker.")
    resident: dict[str, int] = Field(description="Workers that hold a model.")
    use: FleetUse | None = Field(description="null without the scope metrics:read.")
