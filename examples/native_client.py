"""A job through the native API with httpx: submit, follow its events, fetch its files.

    pip install httpx
    python examples/native_client.py "a red circle moving left" --job-type video_fast

OURVIDZ_URL and OURVIDZ_API_KEY name another server or a key. A stream that breaks is resumed where
it ended, and the Idempotency-Key makes a repeated submit the same job.
"""

# ruff: noqa: T201

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx


def main() -> int:
    """Run one job to its end."""
    parser = argparse.ArgumentParser(description="Run one job through the native API.")
    parser.add_argument("prompt")
    parser.add_argument("--job-type", default="video_fast")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--out", type=Path, default=Path("."))
    args = parser.parse_args()

    key = os.environ.get("OURVIDZ_API_KEY")
    with httpx.Client(
        base_url=os.environ.get("OURVIDZ_URL", "http://127.0.0.1:8000"),
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=30.0,
    ) as client:
        try:
            job = submit(client, prompt=args.prompt, job_type=args.job_type, seed=args.seed)
            print(f"{job['id']} on {job['model']}")
            for event in events(client, job["id"]):
                print(f"{event['seq']:4} {event['kind']:10} {json.dumps(event['data'])[:100]}")
            job = read(client.get(f"/api/v1/jobs/{job['id']}"))
        except httpx.HTTPStatusError as error:
            print(explain(error.response), file=sys.stderr)
            return 1
        if job["state"] != "succeeded":
            print(f"{job['state']}: {job['error']}", file=sys.stderr)
            return 1
        for asset in job["assets"]:
            print(f"{save(client, asset, args.out)} ({asset['bytes']} bytes)")
    return 0


def submit(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    """Store one job; tried again with the same key, it stays one job."""
    body = {name: value for name, value in fields.items() if value is not None}
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    for pause_s in (0.5, 2.0, None):
        try:
            return read(client.post("/api/v1/jobs", json=body, headers=headers))
        except httpx.TransportError:
            if pause_s is None:
                raise
            time.sleep(pause_s)
    raise AssertionError("the last try returns or raises")


def events(client: httpx.Client, job_id: str) -> Iterator[dict[str, Any]]:
    """Yield a job's events in order, without gaps, until it is over."""
    last_seq = 0
    while True:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last_seq)}
        path = f"/api/v1/jobs/{job_id}/events"
        try:
            with client.stream("GET", path, headers=headers, timeout=60.0) as stream:
                stream.raise_for_status()
                for line in stream.iter_lines():
                    if line.startswith("data:"):
                        event = json.loads(line[5:])
                        last_seq = event["seq"]
                        yield event
                        if event["kind"] in {"succeeded", "failed", "cancelled"}:
                            return
        except httpx.TransportError:
            time.sleep(1.0)


def read(answer: httpx.Response) -> dict[str, Any]:
    """Return the JSON of a good answer."""
    answer.raise_for_status()
    return answer.json()


def save(client: httpx.Client, asset: dict[str, Any], folder: Path) -> Path:
    """Fetch one file by its signed address."""
    suffix = ".mp4" if asset["media_type"] == "video/mp4" else ".png"
    path = folder / f"{asset['id']}{suffix}"
    with client.stream("GET", asset["url"]) as stream:
        stream.raise_for_status()
        with path.open("wb") as file:
            file.writelines(stream.iter_bytes())
    return path


def explain(answer: httpx.Response) -> str:
    """Return an error answer in one line."""
    answer.read()
    error = answer.json()["error"]
    return f"{answer.status_code} {error['code']}: {error['message']} {error['hint'] or ''}"


if __name__ == "__main__":
    sys.exit(main())
