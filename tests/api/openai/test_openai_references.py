import base64
import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from ourvidz.api.openai.body import Upload
from ourvidz.api.openai.errors import ReferenceUnsupported
from ourvidz.api.openai.references import read_reference, refuse_reference
from ourvidz.catalog.config import ServerConfig, Settings
from ourvidz.core.errors import FetchFailed, InvalidRequest, TooLarge, UrlRefused
from ourvidz.net.client import GuardedClient

SETTINGS = Settings(server=ServerConfig(max_image_px=64 * 64, max_body_bytes=20_000))


def picture(size=(32, 24), image_format="PNG"):
    out = io.BytesIO()
    Image.new("RGB", size, (200, 30, 30)).save(out, format=image_format)
    return out.getvalue()


def read(value, *, allow_private=False):
    client = GuardedClient(allow_private=allow_private)
    return read_reference(value, settings=SETTINGS, client=client)


def data_url(data, media_type="image/png"):
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


@pytest.fixture(scope="module")
def site():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"x" * 30_000 if self.path == "/large" else picture()
            self.send_response(200)
            self.send_header("Content-Type", "text/html" if self.path == "/page" else "image/png")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    "value",
    [
        Upload(data=picture()),
        Upload(data=picture(image_format="JPEG")),
        data_url(picture()),
        {"image_url": data_url(picture(image_format="WEBP"), "image/webp")},
    ],
)
def test_an_image_is_read(value):
    image = read(value)
    assert (image.width, image.height) == (32, 24)


def test_an_address_is_fetched(site):
    assert read(f"{site}/a.png", allow_private=True).width == 32


def test_private_addresses_are_refused(site):
    with pytest.raises(UrlRefused) as caught:
        read({"image_url": site})
    assert caught.value.param == "input_reference"


@pytest.mark.parametrize(("path", "error"), [("/large", TooLarge), ("/page", FetchFailed)])
def test_what_an_address_brings_is_bounded(site, path, error):
    with pytest.raises(error):
        read(site + path, allow_private=True)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (Upload(data=b"not an image"), InvalidRequest),
        (Upload(data=b""), InvalidRequest),
        (Upload(data=picture((65, 64))), TooLarge),
        (Upload(data=picture(image_format="GIF")), InvalidRequest),
        ("data:text/html;base64,AAAA", InvalidRequest),
        ("data:image/png,AAAA", InvalidRequest),
        ("data:image/png;base64,@@@", InvalidRequest),
        ("data:", InvalidRequest),
        ("file:///etc/passwd", UrlRefused),
        ("ftp://example.com/a.png", UrlRefused),
        ({"file_id": "file_1"}, InvalidRequest),
        ({"image_url": 3}, InvalidRequest),
        ({"image_url": "https://a", "other": 1}, InvalidRequest),
        ({}, InvalidRequest),
        ([1], InvalidRequest),
        (3, InvalidRequest),
    ],
)
def test_what_is_no_image_is_refused_by_name(value, error):
    with pytest.raises(error) as caught:
        read(value)
    assert caught.value.param == "input_reference"


def test_a_good_image_is_refused_for_what_it_is():
    with pytest.raises(ReferenceUnsupported, match="video_fast"):
        refuse_reference("video_fast")
