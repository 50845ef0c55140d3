"""A real HTTP server on loopback whose answers a test writes byte by byte."""

from __future__ import annotations

import contextlib
import socket
import threading


class RawServer:
    """Answers each connection with ``answer(connection, request)``; keeps every request's bytes."""

    def __init__(self, answer) -> None:
        self._answer = answer
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.released = threading.Event()  # what an answer that hangs waits for
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                self.requests.append(_read_request(connection))
                self._answer(connection, self)

    def close(self) -> None:
        self.released.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(timeout=10)

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return data
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(body) < length:
        part = connection.recv(65536)
        if not part:
            break
        body += part
    return head + b"\r\n\r\n" + body


def reply(status: str = "200 OK", body: bytes = b"", **headers: str):
    """An answer that sends one whole response."""
    lines = [f"HTTP/1.1 {status}", "connection: close"]
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    names.setdefault("content-length", str(len(body)))
    lines += [f"{name}: {value}" for name, value in names.items()]

    def answer(connection, server) -> None:
        del server
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    return answer
