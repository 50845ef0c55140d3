"""Reference images: read within limits and checked, then refused while no model takes one."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, NoReturn, cast

from ourvidz.api.openai.body import Upload
from ourvidz.api.openai.errors import ReferenceUnsupported
from ourvidz.catalog.config import Settings
from ourvidz.core.errors import InvalidRequest, OurVidzError
from ourvidz.net.client import GuardedClient
from ourvidz.net.images import CheckedImage, check_image

_PARAM = "input_reference"
_MEDIA_TYPES = ("image/png", "image/jpeg", "image/webp")


def read_reference(value: object, *, settings: Settings, client: GuardedClient) -> CheckedImage:
    """Return the image that ``input_reference`` holds or leads to; may wait for the network.

    Args:
        value: a file, an address (https or data), or an object with ``image_url``.

    Raises:
        InvalidRequest: not such a value, or not a whole image.
        TooLarge: more bytes or pixels than the settings allow.
        UrlRefused, FetchFailed: see ``GuardedClient.fetch``.
    """
    try:
        data = _bytes_of(value, settings, client)
        return check_image(data, max_px=settings.server.max_image_px)
    except OurVidzError as error:
        error.param = _PARAM  # whoever raised it knows only an image or an address
        raise


def refuse_reference(job_type: str) -> NoReturn:
    """Say that a reference can't be used.

    Raises:
        ReferenceUnsupported: always, as long as every model starts from a prompt alone.
    """
    raise ReferenceUnsupported(
        f"Job type {job_type!r} takes no reference image: its model makes videos from a prompt "
        "alone.",
        param=_PARAM,
        hint="Leave input_reference out and describe the picture in the prompt.",
    )


def _bytes_of(value: object, settings: Settings, client: GuardedClient) -> bytes:
    if isinstance(value, Upload):
        return value.data
    url = _url_of(value)
    if url[:5].lower() == "data:":
        return _bytes_of_data_url(url)
    max_bytes = settings.server.max_body_bytes
    return client.fetch(
        url, max_bytes=max_bytes, timeout_s=settings.webhooks.timeout_s, accept=_MEDIA_TYPES
    ).content


def _url_of(value: object) -> str:
    if isinstance(value, Mapping):
        facts = cast("Mapping[str, Any]", value)
        if set(facts) == {"file_id"}:
            raise InvalidRequest(
                "input_reference names a file_id, but this service keeps no uploaded files.",
                hint="Send the image itself, or image_url.",
            )
        value = facts.get("image_url") if set(facts) == {"image_url"} else None
    if not isinstance(value, str) or not value:
        raise InvalidRequest(
            "input_reference is not an image.",
            hint="Send a file, or an object with image_url: an https or base64 data URL.",
        )
    return value


def _bytes_of_data_url(url: str) -> bytes:
    header, _, text = url.partition(",")
    media_type, *marks = header[5:].lower().split(";")
    if media_type not in _MEDIA_TYPES or "base64" not in marks:
        raise InvalidRequest(
            "The data URL holds no image.",
            hint="Write data:image/png;base64,... with PNG, JPEG or WEBP.",
        )
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest("The data URL is not valid base64.") from None
