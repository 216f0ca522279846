"""Where in the samples of tars image and caption are, if not at the usual places: found out from the first samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from stages.ingest import sidecar
from stages.ingest.listing import Unclear
from stages.ingest.names import IMAGES, base_name, is_image
from stages.ingest.roles import WEB, holds_image_names, is_caption
from stages.ingest.samples import TEXTS, Places, Sample, group
from stages.ingest.tar import unpacked
from stages.stage import Files, RowError, SourceFile

if TYPE_CHECKING:
    from schemas.config import IngestConfig

_SAMPLES = 100
_MEMBERS = 1_000
_BYTES = 64 << 20  # of a compressed tar
_TARS = 4  # that are looked at, where the first ones have no samples


def find_places(
    config: IngestConfig, files: Files, tars: Sequence[SourceFile], sidecars: Mapping[str, SourceFile]
) -> tuple[Places, set[str]]:
    """The places, and what members are not read: suffixes, and names that are none of a sample.

    Raises Unclear where more than one place may be meant.
    """
    given = Places(config.image or "", config.caption or "")
    for tar in tars[:_TARS]:
        with files.open_source(tar.uri) as stored, unpacked(stored, _BYTES) as (file, _):
            index = group(file, _MEMBERS)
            if index.samples:
                columns = _columns(files, sidecars.get(tar.uri))
                look = _Look(base_name(tar.uri), file, index.samples[:_SAMPLES], columns)
                places = Places(look.image(given), look.caption(given))
                return places, look.unread(places) | set(index.strangers)
    return given, set()


def _columns(files: Files, side: SourceFile | None) -> list[str]:
    return sidecar.columns(files, side.uri) if side is not None else []


class _Look:
    """The first samples of a tar. `columns`: of its sidecar."""

    def __init__(self, name: str, file: BinaryIO, samples: Sequence[Sample], columns: Sequence[str]) -> None:
        self.name = name
        self.file = file
        self.samples = samples
        self.suffixes = Counter(suffix for sample in samples for suffix in sample.members)
        self.keys = [*columns, *_text_keys(self._json(sample) for sample in samples)]

    def image(self, given: Places) -> str:
        if given.image:
            if given.image_suffix not in self.suffixes:
                raise Unclear(
                    f"ingest.image: {self.name}: no member .{given.image_suffix}; there are {self._members()}"
                )
            return given.image
        usual = any(suffix in IMAGES for suffix in self.suffixes)
        dotted = [suffix for suffix in self._common() if is_image(f"x.{suffix}")]
        if usual or not dotted or self._dots_are_names():
            return ""
        if len(dotted) > 1:
            raise Unclear(f"{self.name}: the image may be {_or(dotted)}; set ingest.image to one of them")
        return dotted[0]

    def caption(self, given: Places) -> str:
        if given.caption:
            if given.caption_suffix not in self.suffixes and given.caption not in self.keys:
                raise Unclear(
                    f"ingest.caption: {self.name}: no member .{given.caption_suffix}, and no such key; {self._choice()}"
                )
            return given.caption
        if any(suffix in TEXTS for suffix in self.suffixes):
            self._check_texts()
            return ""
        texts = [suffix for suffix in self._common() if suffix.rpartition(".")[2] in TEXTS]
        if "caption" in self.keys or self._dots_are_names():
            return ""
        likely = texts or [key for key in self.keys if is_caption(key)]
        if len(likely) == 1:
            return likely[0]
        if not self.keys and not texts and not self._others():
            return ""  # images alone: each of them is a reject
        raise Unclear(f"{self.name}: where are the captions? set ingest.caption; {self._choice()}")

    def unread(self, places: Places) -> set[str]:
        if self._dots_are_names():
            return set()
        plain_image = {places.image_suffix} if places.image else set(IMAGES)
        plain_text = {places.caption_suffix} if places.caption else set(TEXTS)
        return {f".{suffix}" for suffix in self.suffixes if suffix not in plain_image | plain_text | {"json"}}

    def _check_texts(self) -> None:
        """Raises Unclear where the .txt members hold no captions, but names of files or addresses."""
        texts = [text for sample in self.samples if (text := self._text(sample))]
        if texts and (holds_image_names(texts) or all(text.startswith(WEB) for text in texts)):
            shown = f"the .txt members hold no captions ({texts[0][:60]!r})"
            raise Unclear(f"{self.name}: {shown}; set ingest.caption; {self._choice()}")

    def _dots_are_names(self) -> bool:
        """Whether dots in suffixes are those of names (a.001.jpg, a.001.txt), so that each is a sample of its own."""
        stems: dict[str, set[str]] = {}
        for suffix in self.suffixes:
            stem, dot, last = suffix.rpartition(".")
            if dot:
                stems.setdefault(stem, set()).add(
                    "image" if last in IMAGES else "text" if last in (*TEXTS, "json") else ""
                )
        images = [kinds for kinds in stems.values() if "image" in kinds]
        return any("text" in kinds for kinds in images) and not any(s in IMAGES for s in self.suffixes)

    def _common(self) -> list[str]:
        """Suffixes that most samples have."""
        return sorted(suffix for suffix, number in self.suffixes.items() if 2 * number > len(self.samples))

    def _others(self) -> list[str]:
        return [s for s in self.suffixes if s.rpartition(".")[2] not in IMAGES and s != "json"]

    def _members(self) -> str:
        return ", ".join(f".{suffix}" for suffix in sorted(self.suffixes)[:20])

    def _choice(self) -> str:
        keys = list(dict.fromkeys(self.keys))[:20]
        return f"members: {self._members()}" + (f"; keys: {', '.join(keys)}" if keys else "")

    def _json(self, sample: Sample) -> dict[str, Any]:
        try:
            return sample.json(self.file)
        except RowError:
            return {}

    def _text(self, sample: Sample) -> str | None:
        try:
            return sample.text(self.file)
        except RowError:
            return None


def _text_keys(records: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for record in records for key, value in record.items() if isinstance(value, str)))


def _or(suffixes: Sequence[str]) -> str:
    return " or ".join(f".{suffix}" for suffix in suffixes)
