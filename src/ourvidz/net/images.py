"""Images from strangers: decoded within limits, and written anew without anything else in them."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from ourvidz.core.errors import InvalidRequest, TooLarge

_FORMATS = ("PNG", "JPEG", "WEBP")


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedImage:
    """An image that was decoded whole. ``png`` holds its pixels, upright, and nothing else."""

    width: int
    height: int
    format: str  # what was sent: PNG, JPEG or WEBP
    png: bytes


def check_image(data: bytes, *, max_px: int) -> CheckedImage:
    """Decode an untrusted image and write it anew: RGB or RGBA of 8 bits, no metadata.

    The size is read from the header first, so nothing larger is ever decoded. Of a moving image
    the first picture is taken; a picture lying on its side by its EXIF is turned upright.

    Args:
        max_px: Most pixels, width times height; the decoder's own limit of 178 million holds too.

    Raises:
        InvalidRequest: not a whole PNG, JPEG or WEBP.
        TooLarge: more pixels than allowed.
    """
    try:
        return _check(data, max_px)
    except (InvalidRequest, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(max_px) from None
    except Exception as error:
        raise InvalidRequest(
            "The image can't be read.",
            param="image",
            hint="Send a whole PNG, JPEG or WEBP.",
        ) from error


def _check(data: bytes, max_px: int) -> CheckedImage:
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        if image.width * image.height > max_px:
            raise _too_large(max_px)
        image.load()
        upright = _plain(ImageOps.exif_transpose(image))
        out = io.BytesIO()
        upright.save(out, format="PNG", compress_level=1)
        return CheckedImage(
            width=upright.width,
            height=upright.height,
            format=str(image.format),
            png=out.getvalue(),
        )


def _plain(image: Image.Image) -> Image.Image:
    """Return 8-bit RGB or RGBA pixels in an image that knows nothing else."""
    if image.mode.startswith("I"):  # 16 bits: the upper eight
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8), mode="L")
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return Image.fromarray(np.asarray(image.convert(mode)))


def _too_large(max_px: int) -> TooLarge:
    return TooLarge(
        f"The image has more than {max_px} pixels.", param="image", hint="Send a smaller one."
    )
