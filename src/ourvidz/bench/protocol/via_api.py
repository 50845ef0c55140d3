"""Protocol runs through the API of a running service: submit, wait, fetch files and records."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx

from ourvidz.bench.protocol.runner import RUN_KEY, Ran, free_bytes
from ourvidz.core import errors
from ourvidz.core.cancel import CancelToken
from ourvidz.core.errors import (
    Cancelled,
    FetchFailed,
    InvalidRequest,
    NotFound,
    OurVidzError,
)
from ourvidz.core.files import disk_errors_as_ours
from ourvidz.perf.protocol.plan import WARM_UP_STEPS, PlannedRun
from ourvidz.perf.protocol.preflight import Facts
from ourvidz.perf.record import Origin

# As the worker reads it out of a job's metadata.
ORIGIN_KEY = "ourvidz_origin"

_POLL_S = 0.2
_TIMEOUT_S = 30.0
_RECORD_S = 10.0  # how long a job's record may come after its end
_ENDED = frozenset({"succeeded", "failed", "cancelled"})
_SUFFIXES = {"video/mp4": ".mp4", "image/png": ".png", "image/webp": ".webp"}
_STEPS = "num_inference_steps"


@dataclass(kw_only=True, slots=True)
class Service:
    """A running service, asked over HTTP."""

    url: str
    key: str | None = None
    _client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise InvalidRequest(
                f"{self.url!r} is no address of a service.",
                param="url",
                hint="http://127.0.0.1:8000",
            )
        headers = {} if self.key is None else {"Authorization": f"Bearer {self.key}"}
        self._client = httpx.Client(
            base_url=self.url.rstrip("/"),
            headers=headers,
            timeout=_TIMEOUT_S,
            follow_redirects=True,
        )

    def close(self) -> None:
        """Close connections."""
        self._client.close()

    def get(self, path: str) -> dict[str, Any]:
        """Read JSON. Raises what ``ask`` does."""
        return self.ask("GET", path).json()

    def ask(self, method: str, path: str, *, body: Any = None) -> httpx.Response:
        """Ask, and return a good answer.

        Raises:
            FetchFailed: The service can't be reached, or fails.
            OurVidzError: It refuses; by its own code.
        """
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise FetchFailed(
                f"The service does not answer: {type(error).__name__}.",
                param="url",
                hint="Is it up? ourvidz serve",
            ) from error
        if answer.is_success:
            return answer
        raise _refusal(answer)

    def environment(self) -> dict[str, Any]:
        """Return what the service says of itself."""
        status = self.get("/api/v1/status")
        return {
            "ourvidz": status["version"],
            "python": status["python"],
            "profile": status["profile"],
        }

    def fetch(self, url: str) -> bytes:
        """Read a file from a signed address, which may be another server's: the key stays here.

        Raises:
            FetchFailed: It can't be read.
        """
        try:
            answer = httpx.get(url, timeout=_TIMEOUT_S, follow_redirects=True)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise FetchFailed(f"A file can't be fetched: {type(error).__name__}.") from error
        return answer.content

    def job_ended(self, job_id: str, *, cancel: CancelToken) -> dict[str, Any]:
        """Wait for a job's end and return it; a cancel is passed on to the service.

        Raises:
            Cancelled: ``cancel`` was set.
        """
        while True:
            if cancel.is_cancelled:
                with contextlib.suppress(OurVidzError):
                    self.ask("POST", f"/api/v1/jobs/{job_id}/cancel")
                raise Cancelled
            job = self.get(f"/api/v1/jobs/{job_id}")
            if job["state"] in _ENDED:
                return job
            time.sleep(_POLL_S)

    def record(self, job_id: str) -> dict[str, Any]:
        """Return a job's performance record as a body; empty where it left none."""
        give_up_s = time.monotonic() + _RECORD_S
        while True:
            try:
                return body_of(self.get(f"/api/v1/performance/jobs/{job_id}")["record"])
            except NotFound:
                if time.monotonic() > give_up_s:
                    return {}
            time.sleep(_POLL_S)


@dataclass(kw_only=True, slots=True)
class ViaApi:
    """Runs each job through a service, one after another."""

    service: Service
    folder: Path  # where files are fetched to

    def close(self) -> None:
        """Close connections."""
        self.service.close()

    def environment(self) -> Mapping[str, Any]:
        """Return what the service says of itself."""
        return self.service.environment()

    def facts(self, job_types: Sequence[str]) -> Facts:
        """Return what pre-flight looks at, as far as it can be seen through the API."""
        del job_types
        status = self.service.get("/api/v1/status")
        queue = self.service.get("/api/v1/queue")
        counts = cast("Mapping[str, int]", queue["by_state"])
        return Facts(
            in_process=False,
            num_workers=status["num_workers"],
            num_queued=counts.get("queued", 0),
            num_running=counts.get("running", 0),
            paused=tuple(queue["paused"]),
            missing_models=None,
            unhashed_models=None,
            missing_packages=None,
            broken_packages=None,
            gpu=None,
            uses_gpu=None,
            load_a_core=None,
            free_disk_bytes=free_bytes(self.folder),
        )

    def run(self, planned: PlannedRun, *, plan_id: str, cancel: CancelToken) -> Ran:
        """See ``Runner``."""
        start_s = time.perf_counter()
        job = self.service.ask("POST", "/api/v1/jobs", body=body_for(planned, plan_id)).json()
        job = self.service.job_ended(job["id"], cancel=cancel)
        wall_s = time.perf_counter() - start_s
        is_success = job["state"] == "succeeded"
        assets: list[dict[str, Any]] = job["assets"] if is_success else []
        error: dict[str, Any] = job["error"] or {}
        return Ran(
            job_id=job["id"],
            at=job["finished_unix_s"] or time.time(),
            wall_s=wall_s,
            body=self.service.record(job["id"]),
            files=tuple(self._fetch(job["id"], index, each) for index, each in enumerate(assets)),
            facts=tuple(assets),
            notes=tuple(each["text"] for each in job["adjustments"]),
            error=None if is_success else str(error.get("message", job["state"])),
            expected={
                "files": job["num_images"],
                "width": job["width"],
                "height": job["height"],
                "num_frames": job["num_frames"],
            },
        )

    def _fetch(self, job_id: str, index: int, asset: Mapping[str, Any]) -> Path:
        suffix = _SUFFIXES.get(str(asset["media_type"]), ".bin")
        path = self.folder / f"{job_id}-{index + 1}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with disk_errors_as_ours(path):
            path.write_bytes(self.service.fetch(str(asset["url"])))
        return path


def body_for(planned: PlannedRun, plan_id: str) -> dict[str, Any]:
    """Return the request of one planned job."""
    values = dict(planned.case.values)
    if planned.is_warm_up:
        values[_STEPS] = min(WARM_UP_STEPS, int(values.get(_STEPS, WARM_UP_STEPS)))
    return {
        **values,
        "prompt": planned.prompt,
        "job_type": planned.case.job_type,
        "preset": planned.case.preset,
        "seed": planned.seed,
        "metadata": {
            ORIGIN_KEY: Origin.PROTOCOL.value,
            RUN_KEY: f"{plan_id}/{planned.key}",
        },
    }


def body_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record as the API tells it as the body that a store keeps."""
    told = {name: value for name, value in record.items() if value not in (None, {}, [])}
    workload = cast("Mapping[str, Any]", told.pop("workload", {}))
    for name in ("id", "at", "job_type"):
        told.pop(name, None)
    return {**told, "request": workload, "fidelity": workload.get("fidelity")}


def environment_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a record's fingerprint says of where jobs ran, as reports show it."""
    environment = cast("Mapping[str, Mapping[str, Any]]", body.get("environment", {}))
    machine, software = environment.get("machine", {}), environment.get("software", {})
    gpu = machine.get("gpu")
    return {
        "ourvidz": software.get("ourvidz"),
        "commit": software.get("commit"),
        "cpu": machine.get("cpu"),
        "cpu_cores": machine.get("cpu_cores"),
        "gpus": [] if gpu is None else [{"name": gpu}],
        "packages": {
            name: software[name]
            for name in ("torch", "diffusers", "transformers")
            if name in software
        },
    }


# Our own errors by their code, as a service of ours tells them.
_KINDS: Mapping[str, type[OurVidzError]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, OurVidzError)
}


def _refusal(answer: httpx.Response) -> OurVidzError:
    otherwise = FetchFailed if answer.status_code >= 500 else InvalidRequest
    try:
        found = answer.json()["error"]
        kind = _KINDS.get(str(found["code"]), otherwise)
        return kind(str(found["message"]), hint=found.get("hint"))
    except (ValueError, KeyError, TypeError):
        return otherwise(f"The service answered {answer.status_code}.")
