"""Real HTTP servers on loopback: S3 by moto, and a proxy before it that misbehaves on order."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

_HOP_HEADERS = {"connection", "transfer-encoding", "keep-alive", "content-length", "date", "server"}


class _Quiet(MotoRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:
        del type, message, args


class MotoS3:
    """moto's S3 alone. Its usual server guesses the service, and errs with underscores in paths."""

    def __enter__(self) -> MotoS3:
        self._server = make_server(
            "127.0.0.1", 0, create_backend_app("s3"), threaded=True, request_handler=_Quiet
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.host, self.port = "127.0.0.1", self._server.port
        self.url = f"http://{self.host}:{self.port}"
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@dataclass(kw_only=True)
class Fault:
    """What happens to the next ``times`` requests of ``method`` whose path holds ``path``.

    ``how``: ``answer`` (status and body, nothing forwarded), ``hang``, ``drop`` (the connection),
    ``answer_late`` (forwarded, then status and body in place of the answer), ``drop_late``,
    ``cut`` (forwarded; half of the body, then the connection is dropped).
    """

    how: str
    method: str = ""
    path: str = ""
    header: str = ""
    times: int = 1
    status: int = 503
    code: str = "SlowDown"
    before: Callable[[], object] = field(default=lambda: None)

    def covers(self, method: str, path: str, headers: Message) -> bool:
        return (
            self.times > 0
            and self.method in {"", method}
            and self.path in path
            and (not self.header or self.header in headers)
        )


class FaultyProxy:
    """Forwards to an upstream S3, but for the faults it was given."""

    def __init__(self, upstream: MotoS3) -> None:
        self.upstream = upstream
        self.faults: list[Fault] = []
        self.seen: list[tuple[str, str]] = []
        self._closing = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> FaultyProxy:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                del format, args

            def handle_any(self) -> None:
                proxy.handle(self)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def fail(self, fault: Fault) -> None:
        with self._lock:
            self.faults.append(fault)

    def count(self, method: str, path: str = "") -> int:
        return sum(1 for m, p in self.seen if m == method and path in p)

    def _next_fault(self, request: BaseHTTPRequestHandler) -> Fault | None:
        with self._lock:
            self.seen.append((request.command, request.path))
            for fault in self.faults:
                if fault.covers(request.command, request.path, request.headers):
                    fault.times -= 1
                    return fault
        return None

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        fault = self._next_fault(request)
        if fault is None:
            self._reply(request, *self._forward(request, body))
            return
        fault.before()
        request.close_connection = True
        if fault.how == "hang":
            self._closing.wait(60)
        elif fault.how == "answer":
            self._reply(request, *_refusal(fault))
        elif fault.how in {"answer_late", "drop_late", "cut"}:
            status, headers, content = self._forward(request, body)
            if fault.how == "answer_late":
                self._reply(request, *_refusal(fault))
            elif fault.how == "cut":
                self._reply(request, status, headers, content, cut=True)

    def _forward(
        self, request: BaseHTTPRequestHandler, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.upstream.host, self.upstream.port, timeout=30)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in {"connection"}}
        connection.request(request.command, request.path, body=body, headers=headers)
        answer = connection.getresponse()
        content = answer.read()
        kept = {k: v for k, v in answer.getheaders() if k.lower() not in _HOP_HEADERS}
        if request.command == "HEAD":
            kept["Content-Length"] = answer.headers.get("Content-Length") or "0"
        connection.close()
        return answer.status, kept, content

    def _reply(
        self,
        request: BaseHTTPRequestHandler,
        status: int,
        headers: dict[str, str],
        content: bytes,
        *,
        cut: bool = False,
    ) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        if "Content-Length" not in headers:
            request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content[: len(content) // 2] if cut else content)


def _refusal(fault: Fault) -> tuple[int, dict[str, str], bytes]:
    xml = f"<Error><Code>{fault.code}</Code><Message>ordered</Message></Error>"
    return fault.status, {"Content-Type": "application/xml"}, xml.encode()
