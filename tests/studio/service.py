"""A real `ourvidz serve` with pocket models, for a real browser."""

import os
import signal
import subprocess
import sys
import threading

import httpx

START_S = 120.0
ANSWER_S = 60.0
SMALL = {"num_inference_steps": 4, "num_images": 1}


class Service:
    """One server with its worker; ``restart`` keeps its port, data and browser."""

    def __init__(self, data_dir, *arguments, **environment):
        self._data_dir = data_dir
        self._arguments = arguments
        self._environment = environment
        self._process = None
        self.url = ""

    @property
    def port(self):
        return httpx.URL(self.url).port if self.url else 0

    @property
    def pid(self):
        return self._process.pid

    def start(self):
        """Start it and return once it answers."""
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "ourvidz.cli", "serve", "--port", str(self.port)),
                *("--data", str(self._data_dir), *self._arguments),
            ],
            env={**os.environ, "OMP_NUM_THREADS": "1", **self._environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        line = self._process.stdout.readline()  # ends with the process
        assert "ready at http://127.0.0.1:" in line, line
        self.url = line.split("ready at ")[1].split()[0]
        threading.Thread(target=self._process.stdout.read, daemon=True).start()
        return self

    def stop(self):
        """End it as an operator does, and its worker with it."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(START_S)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(START_S)
        self._process = None

    def restart(self):
        self.stop()
        self.start()

    def get(self, path, **params):
        return httpx.get(f"{self.url}/api/v1{path}", params=params, timeout=ANSWER_S).json()

    def post(self, path, body=None):
        answer = httpx.post(f"{self.url}/api/v1{path}", json=body, timeout=ANSWER_S)
        assert answer.is_success, answer.text
        return answer.json()

    def submit(self, prompt, *, job_type="sdxl_image_fast", **values):
        """Store a small job and return its id."""
        body = {"prompt": prompt, "job_type": job_type, **values}
        if job_type.startswith("sdxl"):
            body = {**SMALL, **body}
        return self.post("/jobs", body)["id"]

    def follow_until(self, job_id, kind=None):
        """Follow a job's events until one of a kind, or all until it has ended."""
        url = f"{self.url}/api/v1/jobs/{job_id}/events"
        with httpx.stream("GET", url, timeout=START_S) as events:
            for line in events.iter_lines():
                if line == f"event: {kind}":
                    return

    def wait_for(self, job_id, *states):
        """Return a job once it has ended, and check how."""
        self.follow_until(job_id)
        job = self.get(f"/jobs/{job_id}")
        assert job["state"] in (states or ("succeeded",)), job
        return job
