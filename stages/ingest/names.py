"""What the names of files tell: their folder, their stem, and which of them are images."""

from __future__ import annotations

IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp")
# Taken as the image where there is none of the above, to be rejected by what it is.
OTHER_IMAGES = ("jpe", "jfif", "gif", "bmp", "tif", "tiff", "avif", "heic", "heif", "jxl", "jp2", "svg", "img")
IMAGES = (*IMAGE_SUFFIXES, *OTHER_IMAGES)


def base_name(uri: str) -> str:
    return uri.rstrip("/").rpartition("/")[2]


def folder_of(uri: str) -> str:
    return uri.rstrip("/").rpartition("/")[0]


def below(uri: str, source: str) -> str:
    """The path of a file below the source, its name where it is the source itself: what ids of its rows begin with."""
    inside = uri.removeprefix(source.rstrip("/") + "/")
    return base_name(uri) if inside == uri else inside


def suffix_of(name: str) -> str:
    """After the last dot, in lower case; "" without one."""
    base = base_name(name)
    return base.rpartition(".")[2].lower() if "." in base else ""


def is_image(name: str) -> bool:
    return suffix_of(name) in IMAGES


def stem(name: str) -> str:
    """Without the folder, and without the suffix of an image."""
    base = base_name(name)
    return base[: -len(suffix_of(base)) - 1] if is_image(base) else base
