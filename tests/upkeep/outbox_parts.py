"""Jobs with messages in a real store, and a receiver on loopback."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ourvidz.catalog.config import Settings
from ourvidz.core.request import Fidelity, GenerationRequest, MediaType
from ourvidz.jobs.model import Callback, NewAsset, NewJob
from ourvidz.jobs.open import open_store


def open_test_store(folder, clock=None):
    store = open_store(Settings(data_dir=folder), clock=clock)
    store.migrate()
    return store


def request(prompt="a red circle moves right"):
    return GenerationRequest(
        job_type="sdxl_image_fast",
        preset="baseline",
        profile="pocket",
        model="pocket-image",
        family="sdxl",
        media_type=MediaType.IMAGE,
        prompt=prompt,
        negative_prompt="",
        seed=1,
        width=64,
        height=64,
        num_frames=1,
        fps=1,
        num_images=2,
        num_inference_steps=2,
        guidance_scale=5.0,
        scheduler="euler",
        flow_shift=None,
        fidelity=Fidelity.EXACT,
    )


def finish_job(store, job_id, *callbacks, metadata=None, assets=1):
    """Submit a job with callbacks and let it succeed."""
    store.submit(
        [NewJob(id=job_id, request=request(), callbacks=tuple(callbacks), metadata=metadata or {})]
    )
    job = store.claim("worker-1", lease_s=60, overdue_s=900)
    assert job is not None
    assert job.id == job_id
    files = [
        NewAsset(
            id=f"asset_{job_id}_{index}",
            index=index,
            bucket="sdxl_image_fast",
            key=f"{job_id}/{job.token}/{index}.png",
            thumbnail_key=None,
            media_type="image/png",
            num_bytes=1234,
            facts={},
        )
        for index in range(assets)
    ]
    assert store.finish(job_id, job.token, result={}, assets=files)
    return job


def webhook(url):
    return Callback(kind="webhook", url=url, events=("succeeded",))


class Receiver:
    """Answers posts with the statuses it was given, the last one for ever; keeps each of them."""

    def __init__(self, *statuses, retry_after=None):
        self.statuses = list(statuses) or [204]
        self.seen = []
        self.got_one = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.seen.append((self.path, headers, body))
                index = min(len(receiver.seen), len(receiver.statuses)) - 1
                self.send_response(receiver.statuses[index])
                if retry_after is not None:
                    self.send_header("retry-after", retry_after)
                self.send_header("content-length", "0")
                self.end_headers()
                receiver.got_one.set()

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def bodies(self):
        return [json.loads(body) for _, _, body in self.seen]

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
