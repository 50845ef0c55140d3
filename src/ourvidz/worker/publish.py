"""How an attempt ends: upload and finish, or fail, cancel, give back; each behind the fence."""

from __future__ import annotations

import logging
import random
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ourvidz.catalog.config import QueueConfig
from ourvidz.catalog.rollouts import note_of
from ourvidz.core.asset import Asset
from ourvidz.core.clock import Clock
from ourvidz.core.errors import (
    DeadlineExceeded,
    IllegalState,
    LeaseLost,
    OurVidzError,
    StorageFailed,
    StoreFull,
    StoreUnavailable,
)
from ourvidz.core.failpoints import reach
from ourvidz.core.ids import new_id
from ourvidz.core.job import JobResult
from ourvidz.core.phase import Phase
from ourvidz.core.redact import without_paths
from ourvidz.core.request import GenerationRequest
from ourvidz.jobs.model import Job, JobKind, Json, NewAsset
from ourvidz.jobs.store import JobStore
from ourvidz.perf.record import Origin
from ourvidz.storage.store import AssetStorage, attempt_prefix
from ourvidz.worker.heartbeat import Attempt, Heartbeat, Stop
from ourvidz.worker.history import History
from ourvidz.worker.logs import about_job
from ourvidz.worker.ports import Finishing
from ourvidz.worker.report import failure_body, record_body, result_to_dict
from ourvidz.worker.telemetry import JobTraces

_log = logging.getLogger(__name__)

T = TypeVar("T")

_UPLOAD_TRIES = 4
_STORE_PAUSE_S = 0.25
_MAX_BACKOFF_S = 600.0
_THUMBNAIL_TYPE = "image/webp"
# In a job's metadata: "protocol" where a benchmark asked for it.
ORIGIN_KEY = "ourvidz_origin"


@dataclass(kw_only=True, slots=True)
class Publisher:
    """Ends attempts. Its methods may run on any thread and never raise a job's error."""

    store: JobStore
    storage: AssetStorage
    heartbeat: Heartbeat
    history: History
    queue: QueueConfig
    clock: Clock
    rng: random.Random
    # What the record of a failed job says of where it ran.
    environment_of: Callable[[GenerationRequest], Json] = lambda _: {}
    traces: JobTraces | None = None  # told of every job that ended here

    def publish(self, attempt: Attempt, finishing: Finishing) -> None:
        """Upload the files of a job and finish it, or end it as its stop reason or error says."""
        with about_job(attempt.key):
            try:
                self._publish(attempt, finishing)
            except Exception as error:  # noqa: BLE001 - whatever it is, the job must end
                self.end(attempt, error, device_s=finishing.device_s)
            finally:
                finishing.abandon()

    def end(self, attempt: Attempt, error: Exception, *, device_s: float) -> None:
        """Tell the store how an attempt without a result ended."""
        with about_job(attempt.key):
            try:
                self._end(attempt, error, device_s)
            except LeaseLost:
                _log.warning("lease lost; nothing of this attempt is published")
            except Exception:  # noqa: BLE001 - it is logged whole
                _log.exception("the end of this attempt could not be stored; its lease will end")
            attempt.is_settled = True

    def keep_enhancement(self, attempt: Attempt, enhancement: Json) -> None:
        """Store the enhanced prompt before anything is generated with it."""
        job = attempt.job
        try:
            if not self._insist(
                attempt, lambda: self.store.set_enhancement(job.id, job.token, enhancement)
            ):
                attempt.lose()
        except LeaseLost:
            attempt.lose()

    def put_preview(self, attempt: Attempt, path: Path) -> None:
        """Upload a picture of what comes; a failure is only logged."""
        key = f"{attempt_prefix(attempt.job.id, attempt.job.token)}/preview.webp"
        bucket = attempt.job.request.job_type
        try:
            self.storage.put_file(bucket, key, path, media_type=_THUMBNAIL_TYPE)
        except OurVidzError as error:
            _log.info("no preview: %s", error.code)
            return
        attempt.preview = {"bucket": bucket, "key": key}

    def _publish(self, attempt: Attempt, finishing: Finishing) -> None:
        files = finishing.files()
        self.heartbeat.moved([attempt])
        self._require_held(attempt)
        reach("before_upload")
        with finishing.span(Phase.UPLOAD):
            assets = [
                self._upload(attempt, asset, index, len(files)) for index, asset in enumerate(files)
            ]
        reach("after_upload")
        result = finishing.wait()
        self.history.flush()
        self._require_held(attempt)
        reach("before_finish")
        self._finish(attempt, result, assets)
        reach("after_finish")

    def _finish(self, attempt: Attempt, result: JobResult, assets: Sequence[NewAsset]) -> None:
        job = attempt.job
        is_published = self._insist(
            attempt,
            lambda: self.store.finish(
                job.id,
                job.token,
                result=public_result(result),
                assets=assets,
                adjustments=[{"code": note.code, "text": note.text} for note in result.adjustments],
                record=record_of(attempt, result),
                device_s=result.timing.device_s,
            ),
        )
        attempt.is_settled = True
        if is_published:
            _log.info("finished after %.3f s", result.timing.total_s)
            if self.traces is not None:
                self.traces.succeeded(job, result)
        else:
            _log.info("not published here: cancelled, given back, or the lease was lost")

    def _upload(self, attempt: Attempt, asset: Asset, index: int, count: int) -> NewAsset:
        del count
        job = attempt.job
        bucket, prefix = job.request.job_type, attempt_prefix(job.id, job.token)
        path = Path(asset.path)
        key = f"{prefix}/{path.name}"
        self._put(attempt, bucket, key, path, media_type=asset.media_type)
        thumbnail_key = None
        if asset.thumbnail_path:
            thumbnail = Path(asset.thumbnail_path)
            thumbnail_key = f"{prefix}/{thumbnail.name}"
            self._put(attempt, bucket, thumbnail_key, thumbnail, media_type=_THUMBNAIL_TYPE)
        return NewAsset(
            id=new_id("asset", self.clock.now()),
            index=index,
            bucket=bucket,
            key=key,
            thumbnail_key=thumbnail_key,
            media_type=asset.media_type,
            num_bytes=asset.bytes,
            facts=public_asset(asset.to_dict()),
        )

    def _put(self, attempt: Attempt, bucket: str, key: str, path: Path, *, media_type: str) -> None:
        """Upload one file; a storage that fails is tried again, so that no device time is lost."""
        for number in range(1, _UPLOAD_TRIES + 1):
            self._require_held(attempt)
            try:
                self.storage.put_file(bucket, key, path, media_type=media_type)
            except StorageFailed as error:
                if number == _UPLOAD_TRIES:
                    raise
                _log.warning("upload failed, trying again: %s", error.code)
                self._pause(attempt, self.queue.retry_s * 2 ** (number - 1))
            except IllegalState:
                # The key is this attempt's alone: an earlier try arrived and its answer did not.
                if self.storage.stat(bucket, key).num_bytes == path.stat().st_size:
                    break
                raise
            else:
                break
        self.heartbeat.moved([attempt])

    def _end(self, attempt: Attempt, error: Exception, device_s: float) -> None:
        job, store = attempt.job, self.store
        if attempt.is_settled:
            return
        self.history.flush()
        match attempt.stop:
            case Stop.LOST:
                raise LeaseLost
            case Stop.DRAINED:
                self._insist(
                    attempt, lambda: store.release(job.id, job.token, reason="worker stopped")
                )
                return
            case Stop.CANCELLED:
                self._insist(
                    attempt, lambda: store.confirm_cancel(job.id, job.token, device_s=device_s)
                )
                _log.info("cancelled")
                return
            case Stop.DEADLINE:
                error = DeadlineExceeded(
                    f"The job ran longer than its deadline of {job.deadline_s:g} s.",
                    hint="Ask for fewer frames, steps or pixels, or raise "
                    "queue.deadline_floor_s in the configuration.",
                )
            case None:
                pass
        if isinstance(error, LeaseLost):
            raise error
        self._fail(attempt, error, device_s)

    def _fail(self, attempt: Attempt, error: Exception, device_s: float) -> None:
        job = attempt.job
        body = public_error(error)
        is_ours = isinstance(error, OurVidzError)
        retry_in_s = self._backoff_s(job.errors) if not is_ours or error.is_retryable else None
        if is_ours:
            _log.warning("failed: %s", error.message)
        else:
            _log.error("failed unexpectedly", exc_info=error)
        record = record_of_failure(
            attempt, error, environment=self.environment_of(job.request), device_s=device_s
        )
        self.history.flush()
        self._insist(
            attempt,
            lambda: self.store.fail(
                job.id,
                job.token,
                error=body,
                retry_in_s=retry_in_s,
                device_s=device_s,
                record=record,
            ),
        )
        if self.traces is not None:
            took_s = time.monotonic() - attempt.started_s
            self.traces.failed(job, code=body["code"], took_s=took_s)

    def _backoff_s(self, num_errors: int) -> float:
        wait_s = min(_MAX_BACKOFF_S, self.queue.retry_s * 2.0**num_errors)
        return wait_s * self.rng.uniform(0.5, 1.5)

    def _insist(self, attempt: Attempt, call: Callable[[], T]) -> T:
        """Call the store until it answers, for as long as the lease surely lasts.

        Raises:
            LeaseLost: it did not answer in time.
        """
        told = None  # a store that stays away is told of once, not at every try
        while True:
            if not attempt.is_held():
                raise LeaseLost
            try:
                return call()
            except (StoreUnavailable, StoreFull) as error:
                if error.code != told:
                    _log.warning("the job store does not take this now: %s", error.code)
                told = error.code
            self._pause(attempt, _STORE_PAUSE_S)

    def _require_held(self, attempt: Attempt) -> None:
        if not attempt.is_held() or attempt.stop is not None:
            raise LeaseLost  # ``end`` looks at why it stopped first

    def _pause(self, attempt: Attempt, seconds: float) -> None:
        self.heartbeat.moved([attempt])
        threading.Event().wait(min(seconds, self.queue.beat_s))


def public_error(error: Exception) -> Json:
    """Return what people may know of an error: no path, no trace."""
    if not isinstance(error, OurVidzError):
        return {
            "code": OurVidzError.code,
            "message": "The worker met an unexpected error.",
            "param": None,
            "hint": "The operator finds the details in the worker's log under the job's id.",
        }
    return {
        name: without_paths(value) if value else value for name, value in error.to_dict().items()
    }


def public_asset(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return an asset's facts without where it lay on the worker."""
    return {name: value for name, value in facts.items() if name not in {"path", "thumbnail_path"}}


def public_result(result: JobResult) -> dict[str, Any]:
    """Return all that is known of a job, as its row keeps it."""
    whole = result_to_dict(result)
    return {**whole, "outputs": [public_asset(output) for output in whole["outputs"]]}


def record_of(attempt: Attempt, result: JobResult) -> dict[str, Any] | None:
    """Return the performance record of a job that generated; None for an enhancement alone."""
    if attempt.job.kind is JobKind.ENHANCE:
        return None
    return _with_whence(record_body(result), attempt.job)


def record_of_failure(
    attempt: Attempt, error: Exception, *, environment: Json, device_s: float
) -> dict[str, Any] | None:
    """Return the record of a job whose last attempt failed; None for an enhancement alone."""
    job = attempt.job
    if job.kind is JobKind.ENHANCE:
        return None
    body = failure_body(
        job.request,
        error,
        environment=environment,
        total_s=time.monotonic() - attempt.started_s,
        device_s=device_s,
    )
    return _with_whence(body, job)


def _with_whence(body: dict[str, Any], job: Job) -> dict[str, Any]:
    """Return a record's body with the door, the origin and the rollout of its job."""
    is_protocol = job.metadata.get(ORIGIN_KEY) == Origin.PROTOCOL.value
    origin = Origin.PROTOCOL if is_protocol else Origin.LIVE
    found = {**body, "source": job.source.value, "origin": origin.value}
    note = note_of(job.metadata)
    return {**found, "settings": {**body.get("settings", {}), **note}} if note else found


def remove_folder(folder: Path) -> None:
    """Remove a folder of this worker, whatever is in it."""
    shutil.rmtree(folder, ignore_errors=True)
