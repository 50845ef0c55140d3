"""Fetching and posting: real sockets on loopback, the resolver injected."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import threading

import pytest

from ourvidz.core.errors import FetchFailed, TooLarge, UrlRefused
from ourvidz.net.client import GuardedClient
from tests.clocks import ManualClock
from tests.net.servers import RawServer, reply

_OPENSSL = (
    *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
    *("-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-nodes"),
    *("-subj", "/CN=site.example", "-addext", "subjectAltName=DNS:site.example"),
)

OPEN = GuardedClient(allow_private=True)


class _Names:
    """A resolver that counts, and whose answers change from call to call."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def __call__(self, host, port):
        self.asked.append((host, port))
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


def test_fetch_gives_content_and_media_type():
    body = bytes(range(256)) * 40
    with RawServer(reply(body=body, content_type="Image/PNG; charset=x")) as server:
        got = OPEN.fetch(
            f"{server.url}/a%20b?q=1#part", max_bytes=10**6, timeout_s=10, accept=("image/png",)
        )
    assert got.content == body
    assert got.media_type == "image/png"
    assert server.requests[0].startswith(b"GET /a%20b?q=1 HTTP/1.1\r\n")


def test_it_connects_to_the_address_that_was_checked_and_keeps_the_host():
    names = _Names(["127.0.0.1"], ["127.0.0.2"])
    client = GuardedClient(allow_private=True, resolve=names)
    with RawServer(reply(body=b"x")) as server:
        client.fetch(f"http://site.example:{server.port}/", max_bytes=9, timeout_s=10)
    assert names.asked == [("site.example", server.port)]
    assert f"host: site.example:{server.port}".encode() in server.requests[0].lower()


def test_the_next_address_is_tried():
    with RawServer(reply(body=b"x")) as server:
        # Nothing listens on the first: the server is bound to 127.0.0.1 alone.
        names = _Names(["127.0.0.2", "127.0.0.1"])
        client = GuardedClient(allow_private=True, resolve=names)
        got = client.fetch(f"http://site.example:{server.port}/", max_bytes=9, timeout_s=10)
    assert got.content == b"x"


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1"]
)
def test_private_addresses_are_refused_before_any_connection(address):
    client = GuardedClient(resolve=_Names([address]))
    for call in (
        lambda: client.fetch("https://site.example/", max_bytes=9, timeout_s=5),
        lambda: client.post("https://site.example/", content=b"", headers={}, timeout_s=5),
    ):
        with pytest.raises(UrlRefused):
            call()


def test_a_refused_address_is_never_connected_to():
    """The refusal comes from the check, not from a connection that failed."""
    with RawServer(reply(body=b"secret")) as server:
        client = GuardedClient(resolve=_Names(["127.0.0.1"]))
        client._parse = lambda url, is_post: __import__("httpx").URL(url)  # any port
        with pytest.raises(UrlRefused):
            client.fetch(f"http://site.example:{server.port}/", max_bytes=99, timeout_s=5)
        assert server.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://site.example/",
        "file:///etc/passwd",
        "gopher://site.example/",
        "//site.example/",
        "site.example",
        "",
        "https://",
        "https://user:pass@site.example/",
        "https://user@site.example/",
        "https://site.example:8443/",
        "https://site.example:22/",
        "http://site.example:6379/",
        "https://site.example:99999/",
        "https://exa mple.com/",
        "https://site.example/" + "a" * 2100,
        "https://[::1/",
        "https://site.example/\r\nx: y",
    ],
)
def test_urls_refused_without_asking_the_network(url):
    names = _Names(["8.8.8.8"])
    client = GuardedClient(resolve=names)
    with pytest.raises(UrlRefused):
        client.fetch(url, max_bytes=9, timeout_s=1)
    with pytest.raises(UrlRefused):
        client.check_url(url, is_post=True)
    assert names.asked == []


def test_posts_go_over_https_only_unless_private_is_allowed():
    with pytest.raises(UrlRefused):
        GuardedClient().check_url("http://site.example/hook", is_post=True)
    GuardedClient().check_url("https://site.example/hook", is_post=True)
    GuardedClient().check_url("http://site.example/hook", is_post=False)
    OPEN.check_url("http://127.0.0.1:9/hook", is_post=True)


def test_redirects_are_not_followed():
    with RawServer(reply(body=b"secret")) as target:
        answer = reply("302 Found", location=f"{target.url}/")
        with RawServer(answer) as server:
            with pytest.raises(FetchFailed, match="302"):
                OPEN.fetch(server.url, max_bytes=99, timeout_s=10)
            assert OPEN.post(server.url, content=b"", headers={}, timeout_s=10).status == 302
        assert target.requests == []


def test_proxies_of_the_environment_are_ignored(monkeypatch):
    with RawServer(reply(body=b"proxy")) as proxy, RawServer(reply(body=b"direct")) as server:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        got = GuardedClient(allow_private=True).fetch(server.url, max_bytes=99, timeout_s=10)
        assert got.content == b"direct"
        assert proxy.requests == []


@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "204 No Content"])
def test_errors_never_carry_the_body(status):
    with (
        RawServer(reply(status, body=b"" if "204" in status else b"inner secret")) as server,
        pytest.raises(FetchFailed) as failed,
    ):
        OPEN.fetch(server.url + "/?token=hidden", max_bytes=99, timeout_s=10)
    assert "secret" not in str(failed.value.to_dict())
    assert "hidden" not in str(failed.value.to_dict())


def test_an_announced_size_is_refused_before_reading():
    with (
        RawServer(reply(body=b"", content_length="1001")) as server,
        pytest.raises(TooLarge),
    ):
        OPEN.fetch(server.url, max_bytes=1000, timeout_s=10)


def test_a_size_that_was_not_announced_is_cut_while_streaming():
    sent = []

    def endless(connection, server):
        connection.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        while not server.released.is_set():
            connection.sendall(b"x" * 65536)
            sent.append(65536)

    with (
        RawServer(endless) as server,
        pytest.raises(TooLarge),
    ):
        OPEN.fetch(server.url, max_bytes=200_000, timeout_s=30)
    assert sum(sent) < 50_000_000


def test_exactly_the_allowed_size_passes():
    with RawServer(reply(body=b"x" * 1000)) as server:
        assert len(OPEN.fetch(server.url, max_bytes=1000, timeout_s=10).content) == 1000


def test_compressed_answers_are_refused_and_not_asked_for():
    with (
        RawServer(reply(body=b"\x1f\x8b" + b"0" * 50, content_encoding="gzip")) as server,
        pytest.raises(FetchFailed, match="compressed"),
    ):
        OPEN.fetch(server.url, max_bytes=1000, timeout_s=10)
    assert b"accept-encoding: identity" in server.requests[0].lower()


def test_other_media_types_are_refused():
    with (
        RawServer(reply(body=b"<html>", content_type="text/html")) as server,
        pytest.raises(FetchFailed, match="media type"),
    ):
        OPEN.fetch(server.url, max_bytes=99, timeout_s=10, accept=("image/png",))


@pytest.mark.parametrize("part", ["header", "body"])
def test_a_peer_that_drips_bytes_does_not_win_time(part):
    """Each byte comes well within any limit of one read; only a total limit ends this."""

    def drip(connection, server):
        start = b"HTTP/1.1 200 OK\r\n"
        connection.sendall(start if part == "header" else start + b"content-length: 9999\r\n\r\n")
        while not server.released.wait(0.02):
            connection.sendall(b"x")

    with RawServer(drip) as server, pytest.raises(FetchFailed, match="in time"):
        OPEN.fetch(server.url, max_bytes=10**6, timeout_s=0.4)


def test_a_peer_that_says_nothing():
    with (
        RawServer(lambda connection, server: server.released.wait(30)) as server,
        pytest.raises(FetchFailed, match="in time"),
    ):
        OPEN.post(server.url, content=b"x", headers={}, timeout_s=0.2)


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-len"])
def test_broken_answers(answer):
    with (
        RawServer(lambda connection, server: connection.sendall(answer)) as server,
        pytest.raises(FetchFailed),
    ):
        OPEN.fetch(server.url, max_bytes=99, timeout_s=10)


def test_nobody_listens():
    with RawServer(reply()) as server:
        pass
    with pytest.raises(FetchFailed, match="reached"):
        OPEN.fetch(server.url, max_bytes=9, timeout_s=5)


def test_ask_gives_status_and_a_bounded_body():
    asked = {"content": b"question", "headers": {"x-a": "1"}, "timeout_s": 10}
    for status in ("200 OK", "429 Too Many Requests"):
        with RawServer(reply(status, b"answer")) as server:
            got = OPEN.ask(server.url + "/v1", **asked, max_bytes=6)
            assert (got.status, got.content) == (int(status[:3]), b"answer")
            with pytest.raises(TooLarge):
                OPEN.ask(server.url + "/v1", **asked, max_bytes=5)
        assert server.requests[0].endswith(b"\r\n\r\nquestion")
    with pytest.raises(UrlRefused):
        GuardedClient().ask("http://site.example/v1", **asked, max_bytes=6)


def test_post_sends_body_and_headers():
    with RawServer(reply("202 Accepted")) as server:
        got = OPEN.post(
            server.url + "/hook",
            content=b'{"a":1}',
            headers={"Content-Type": "application/json", "webhook-id": "msg_1", "Host": "evil"},
            timeout_s=10,
        )
    assert (got.status, got.retry_after_s) == (202, None)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert body == b'{"a":1}'
    assert head.startswith(b"POST /hook HTTP/1.1")
    assert b"webhook-id: msg_1" in head.lower()
    assert b"evil" not in head
    assert b"\r\ncontent-length: 7" in head.lower()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("-5", 0.0),
        ("999999999", 24 * 3600.0),
        ("nan", None),
        ("soon", None),
        ("Thu, 01 Jan 2026 00:02:40 GMT", 60.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after(value, seconds):
    client = GuardedClient(allow_private=True, clock=ManualClock())  # 00:01:40
    with RawServer(reply("503 Busy", retry_after=value)) as server:
        got = client.post(server.url, content=b"", headers={}, timeout_s=10)
    assert (got.status, got.retry_after_s) == (503, seconds)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if not shutil.which("openssl"):
        pytest.skip("needs the openssl command")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        _OPENSSL,
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder / "cert.pem", folder / "key.pem"


class _TlsServer(RawServer):
    def __init__(self, certificate, answer):
        self.names = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*certificate)
        self._context.sni_callback = lambda sock, name, context: self.names.append(name)
        super().__init__(answer)

    def _serve(self):
        self._listener = self._context.wrap_socket(self._listener, server_side=True)
        while True:
            try:
                connection, _ = self._listener.accept()
            except ssl.SSLError:
                continue
            except OSError:
                return
            with connection:
                self.requests.append(connection.recv(65536))
                self._answer(connection, self)


def test_tls_checks_the_name_not_the_address(certificate):
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    client = GuardedClient(
        allow_private=True, resolve=lambda host, port: ["127.0.0.1"], ssl_context=trusting
    )
    with _TlsServer(certificate, reply(body=b"ok")) as server:
        url = f"https://site.example:{server.port}/"
        assert client.fetch(url, max_bytes=9, timeout_s=10).content == b"ok"
        assert server.names == ["site.example"]
        with pytest.raises(FetchFailed):
            client.fetch(f"https://other.example:{server.port}/", max_bytes=9, timeout_s=10)
        with pytest.raises(FetchFailed):  # the bundled authorities do not know this one
            GuardedClient(allow_private=True, resolve=client._resolve).fetch(
                url, max_bytes=9, timeout_s=10
            )


def test_one_client_serves_many_threads():
    bodies = []
    with RawServer(reply(body=b"ok")) as server:
        threads = [
            threading.Thread(
                target=lambda: bodies.append(
                    OPEN.fetch(server.url, max_bytes=9, timeout_s=20).content
                )
            )
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert bodies == [b"ok"] * 8
