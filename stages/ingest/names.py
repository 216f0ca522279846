"""What the names of files tell: their folder, their stem, and which of them are images."""

from __future__ import annotations

from collections.abc import Iterable

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


def without_suffix(name: str) -> str:
    """Of a name that has one."""
    return name[: len(name) - len(suffix_of(name)) - 1]


def folders_of_captions(images: Iterable[str], captions: Iterable[str]) -> dict[str, str]:
    """Of captions in a folder of their own beside that of their images (images/0.jpg, text/0.txt): the images' folder,
    by the captions'. Only where there is but one of each in a folder, and names agree.
    """
    stems: dict[str, dict[str, set[str]]] = {"image": {}, "caption": {}}
    for kind, names in (("image", images), ("caption", captions)):
        for name in names:
            stems[kind].setdefault(folder_of(name), set()).add(base_name(without_suffix(name)))
    alone = {kind: set(stems[kind]) - set(stems[other]) for kind, other in (("image", "caption"), ("caption", "image"))}
    beside: dict[str, tuple[list[str], list[str]]] = {}
    for kind in ("image", "caption"):
        for folder in sorted(alone[kind] - {""}):
            beside.setdefault(folder_of(folder), ([], []))[kind == "caption"].append(folder)
    pairs = [(texts[0], images[0]) for images, texts in beside.values() if len(images) == len(texts) == 1]
    return {text: image for text, image in pairs if stems["caption"][text] & stems["image"][image]}
