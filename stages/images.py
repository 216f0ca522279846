"""Images from anywhere to upright RGB arrays, without trust in what they claim.

Three formats are carried, by their content and never by their name: JPEG, PNG and WebP. `inspect` reads headers only;
`open_rgb` and `decode_rgb` decode. All apply the same checks, so that a size or orientation recorded at ingest is what
is decoded.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stages.image_headers import Carried, Header, read_header, sniff
from stages.stage import RowError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

__all__ = ["ImageInfo", "check_sha256", "decode_grey", "decode_rgb", "inspect", "open_rgb", "sniff", "upright_file"]

# How an image is encoded that has to be encoded again: JPEG without halved colours.
_ENCODING: dict[str, dict[str, Any]] = {
    "jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    "png": {"format": "PNG"},
    "webp": {"format": "WEBP", "lossless": True},
}

# What Pillow raises for damaged data.
_DAMAGED = (OSError, SyntaxError, ValueError, struct.error, zlib.error, EOFError, LookupError, OverflowError)


@dataclass(frozen=True)
class ImageInfo:
    """`width`, `height`: upright, in pixels; `sha256`: of the bytes as they are."""

    format: Carried
    width: int
    height: int
    orientation: int
    sha256: str


def inspect(data: bytes, max_pixels: int) -> ImageInfo:
    """Read the header only. Raises RowError as `decode_rgb` does, less the damage that only decoding can find."""
    header = _checked_header(data, max_pixels)
    width, height = header.width, header.height
    if header.orientation >= 5:  # turned by a quarter
        width, height = height, width
    return ImageInfo(header.format, width, height, header.orientation, hashlib.sha256(data).hexdigest())


def check_sha256(data: bytes | RowError, expected: str | None) -> bytes:
    """The bytes, if they are those that ingest recorded. Raises RowError, the given one too."""
    if isinstance(data, RowError):
        raise data
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise RowError("image_changed", f"sha256 {found[:12]}..., recorded {str(expected)[:12]}...")
    return data


def decode_rgb(data: bytes, max_pixels: int) -> NDArray[np.uint8]:
    """The image as (H, W, 3) uint8 RGB; all else as `open_rgb`."""
    import numpy as np

    return np.asarray(open_rgb(data, max_pixels))


def open_rgb(data: bytes, max_pixels: int) -> Image:
    """The decoded image in RGB, upright by its EXIF orientation.

    Grey, palette, CMYK and 16-bit images are converted (16 bits keep their high byte); transparency is laid over white.
    Raises RowError: empty_image, not_an_image, unsupported_format, animated_image, image_too_large, truncated_image.
    """
    header = _checked_header(data, max_pixels)
    try:
        with _open(data, header) as image:
            image.load()
            decoded = _to_rgb(image)
    except _DAMAGED as error:
        raise RowError("truncated_image", f"{type(error).__name__}: {error}") from error
    if decoded.size != (header.width, header.height):
        raise RowError("truncated_image", f"the header says {header.width} x {header.height} pixels, decoding differs")
    return _upright(decoded, header.orientation)


def decode_grey(data: bytes, max_pixels: int, side: int) -> NDArray[np.uint8]:
    """The image in grey, upright, reduced to (side, side) pixels whatever its shape.

    A JPEG is decoded at the smallest size that its format offers from twice as many pixels up, which takes a fraction
    of the time. Raises RowError as `open_rgb`.
    """
    import numpy as np
    from PIL.Image import Resampling

    header = _checked_header(data, max_pixels)
    try:
        with _open(data, header) as image:
            image.draft("L", (2 * side, 2 * side))
            image.load()
            grey = image if image.format == "JPEG" and image.mode == "L" else _to_rgb(image).convert("L")
            small = grey.resize((side, side), Resampling.BOX)
    except _DAMAGED as error:
        raise RowError("truncated_image", f"{type(error).__name__}: {error}") from error
    return np.asarray(_upright(small, header.orientation))


def upright_file(data: bytes, max_pixels: int) -> bytes:
    """The same image with its pixels upright, for readers that do not know of orientation.

    The bytes as they are where no turn is recorded; else encoded again in their own format as RGB, a JPEG at quality
    95, the others without loss; with an RGB colour profile and no other metadata. Raises RowError as `open_rgb`.
    """
    header = _checked_header(data, max_pixels)
    if header.orientation == 1:
        return data
    image = open_rgb(data, max_pixels)
    profile = image.info.get("icc_profile") or b""
    image.info = {}  # some encoders take over what they find there
    buffer = io.BytesIO()
    options = _ENCODING[header.format] | ({"icc_profile": profile} if profile[16:20] == b"RGB " else {})
    image.save(buffer, **options)
    return buffer.getvalue()


def _checked_header(data: bytes, max_pixels: int) -> Header:
    header = read_header(data)
    if header.width * header.height > max_pixels:
        raise RowError("image_too_large", f"{header.width} x {header.height} pixels, the limit is {max_pixels}")
    return header


def _open(data: bytes, header: Header) -> Image:
    """The decoder is chosen by us: `Image.open` would try every format that Pillow knows."""
    from PIL.Image import DecompressionBombError
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile
    from PIL.WebPImagePlugin import WebPImageFile

    decoders: dict[str, Any] = {"jpg": JpegImageFile, "png": PngImageFile, "webp": WebPImageFile}
    try:
        image: Image = decoders[header.format](io.BytesIO(data))
    except DecompressionBombError as error:  # Pillow's own limit, where max_pixels is set above it
        raise RowError("image_too_large", str(error)) from error
    return image


def _to_rgb(image: Image) -> Image:
    from PIL import Image as pillow

    if image.mode == "I" or image.mode.startswith("I;16"):
        import numpy as np

        return pillow.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        with_alpha = image.convert("RGBA")
        white = pillow.new("RGBA", image.size, "white")
        return pillow.alpha_composite(white, with_alpha).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _upright(decoded: Image, orientation: int) -> Image:
    """Apply an EXIF orientation, 1 to 8."""
    from PIL.Image import Transpose

    turned = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return decoded.transpose(turned[orientation]) if orientation in turned else decoded
