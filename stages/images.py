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

__all__ = ["ImageInfo", "check_sha256", "decode_rgb", "inspect", "open_rgb", "sniff"]

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
