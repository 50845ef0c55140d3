"""Standard Webhooks: what a job's end says to a client's own server, signed.

The body holds links, never files, and stays below 20 kB. ``webhook-id`` is the same at every
retry, so a receiver can tell what it has seen. With several secrets there are several signatures,
so secrets can be changed without losing a message.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr
from standardwebhooks import Webhook

from ourvidz.core.clock import Clock, SystemClock
from ourvidz.core.errors import ConfigInvalid
from ourvidz.jobs.model import Job, OutboxItem, StoredAsset
from ourvidz.upkeep.outbox import Post

MAX_PAYLOAD_BYTES = 20_000

_SECRET_PREFIX = "whsec_"
_MIN_SECRET_BYTES = 24
_MAX_SECRET_BYTES = 64
_STATES = {"claimed": "running"}  # other events are called like the state that they lead to

JobLink = Callable[[Job], str]
AssetLink = Callable[[StoredAsset], str]


class WebhookRenderer:
    """Renders outbox items of kind ``webhook``.

    Args:
        secrets: ``whsec_`` and base64 of 24 to 64 bytes each. Without any, messages go unsigned.
        base_url: How receivers reach this service; empty gives links that begin with ``/``.
        job_link: Link of a job in place of ``{base_url}/api/v1/jobs/{id}``.
        asset_link: Link of a file in place of ``{base_url}/api/v1/assets/{id}``.
        clock: Time of each sending, which is signed.

    Raises:
        ConfigInvalid: a secret of another form.
    """

    def __init__(
        self,
        secrets: Sequence[SecretStr],
        *,
        base_url: str = "",
        job_link: JobLink | None = None,
        asset_link: AssetLink | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._signers = tuple(_signer(secret.get_secret_value()) for secret in secrets)
        self._job_link = job_link or self._default_job_link
        self._asset_link = asset_link or self._default_asset_link
        self._clock = clock or SystemClock()

    def __call__(
        self, item: OutboxItem, job: Job, assets: tuple[StoredAsset, ...]
    ) -> Sequence[Post]:
        """Return the one request that tells ``item.event`` of ``job`` to ``item.url``."""
        content = self._body(item, job, assets if item.event == "succeeded" else ())
        message_id = f"msg_{item.id}"
        now = self._clock.now()
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
        }
        if self._signers:
            headers["webhook-signature"] = " ".join(
                signer.sign(msg_id=message_id, timestamp=now, data=content)
                for signer in self._signers
            )
        return (Post(url=item.url, content=content.encode(), headers=headers),)

    def _body(self, item: OutboxItem, job: Job, assets: tuple[StoredAsset, ...]) -> str:
        data: dict[str, Any] = {
            "id": job.id,
            "kind": job.kind.value,
            "state": _STATES.get(item.event, item.event),
            "job_type": job.request.job_type,
            "model": job.request.model,
            "created_at": _iso(job.created_at),
            "started_at": _iso(job.started_at),
            "finished_at": _iso(job.finished_at) if item.event != "claimed" else None,
            "error": job.error if item.event == "failed" else None,
            "links": {"self": self._job_link(job)},
            "metadata": dict(job.metadata),
            "assets": [self._asset(asset) for asset in assets],
            "shortened": False,
        }
        return _fit({"type": f"job.{item.event}", "timestamp": _iso(item.created_at), "data": data})

    def _default_job_link(self, job: Job) -> str:
        return f"{self._base_url}/api/v1/jobs/{job.id}"

    def _default_asset_link(self, asset: StoredAsset) -> str:
        return f"{self._base_url}/api/v1/assets/{asset.id}"

    def _asset(self, asset: StoredAsset) -> dict[str, Any]:
        return {
            "id": asset.id,
            "index": asset.index,
            "media_type": asset.media_type,
            "num_bytes": asset.num_bytes,
            "url": self._asset_link(asset),
        }


def _fit(body: dict[str, Any]) -> str:
    """Return JSON below the limit, leaving out what the job's own link also gives."""
    data = body["data"]
    text = _json(body)
    if len(text.encode()) < MAX_PAYLOAD_BYTES:
        return text
    data["shortened"] = True
    data["metadata"] = {}
    data["error"] = _short_error(data["error"])
    while len((text := _json(body)).encode()) >= MAX_PAYLOAD_BYTES and data["assets"]:
        data["assets"] = data["assets"][: len(data["assets"]) // 2]
    return text


def _short_error(error: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if error is None else {"code": error.get("code")}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _iso(at: float | None) -> str | None:
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def _signer(secret: str) -> Webhook:
    encoded = secret.removeprefix(_SECRET_PREFIX)
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not _MIN_SECRET_BYTES <= len(key) <= _MAX_SECRET_BYTES:
        raise ConfigInvalid(
            "A webhook secret is not valid.",
            param="webhooks.secrets",
            hint=f"Use {_SECRET_PREFIX} and the base64 of {_MIN_SECRET_BYTES} to"
            f" {_MAX_SECRET_BYTES} random bytes: openssl rand -base64 32",
        )
    return Webhook(key)
