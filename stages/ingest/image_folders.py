"""Where the images lie that a table or an annotation file names, if nobody has said so: their names are looked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

from stages.ingest.listing import Unclear
from stages.ingest.locate import locate, plain_name
from stages.ingest.names import base_name, folder_of
from stages.stage import Files, RowError, SourceFile

_NAMES = 20  # of the sample that are looked for
_FIRST = 5  # in every folder; the others only where one of these is
_USUAL = (
    "images",
    "Images",
    "image",
    "imgs",
    "img",
    "photos",
    "pictures",
    "data",
    "JPEGImages",
    "train",
    "val",
    "test",
)
_USUAL_SETS = ("Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k_images", "flickr30k-images")


class ImageFolders:
    """`found`: all files of the source, or the one that it is; then folders of the usual names are tried."""

    def __init__(self, files: Files, source: str, found: Sequence[SourceFile]) -> None:
        self.files = files
        self.source = source.rstrip("/")
        self.listed = [] if len(found) == 1 and found[0].uri == source else found

    def find(self, names: Sequence[str], beside: str) -> str:
        """The folder that has most of these files; "" where none is anywhere. `beside`: the file that names them.

        Of several that have as many, the folder of that file comes first, then one below it. Raises Unclear where that
        does not decide.
        """
        wanted = list(dict.fromkeys(names))[:_NAMES]
        home = folder_of(beside)
        found = Counter({home: self._there(wanted, home)})
        if found[home] < len(wanted):
            for folder in self._candidates(wanted, beside):
                if self._there(wanted[:_FIRST], folder):
                    found[folder] = self._there(wanted, folder)
        most = max(found.values())
        best = [folder for folder, number in found.items() if number == most]
        if not most:
            return ""
        if home in best:
            return home
        near = [folder for folder in best if folder.startswith(f"{home}/")] or best
        if len(near) > 1:
            folders = " and ".join(near[:4])
            raise Unclear(f"{base_name(beside)}: its images are in {folders}; set ingest.images to one of them")
        return near[0]

    def _there(self, names: Sequence[str], folder: str) -> int:
        return sum(self._exists(name, folder) for name in names)

    def _exists(self, name: str, folder: str) -> bool:
        try:
            uri = locate(name, folder).uri
        except RowError:
            return False
        return uri.replace("/./", "/") in self._uris if self.listed else exists(self.files, uri)

    @cached_property
    def _uris(self) -> frozenset[str]:
        return frozenset(file.uri for file in self.listed)

    def _candidates(self, names: Sequence[str], beside: str) -> list[str]:
        if not self.listed:
            home, above = folder_of(beside), folder_of(folder_of(beside))
            name = base_name(beside).partition(".")[0]
            split = name.partition("_")[2] or name  # captions_val2017.json belongs to val2017/
            names = [*_USUAL, *_USUAL_SETS, name, split, *(f"images/{word}" for word in (name, split))]
            around = [f"{folder}/{word}" for folder in (home, above) if folder for word in dict.fromkeys(names)]
            return [*around, above] if above else around
        found: dict[str, None] = {}
        for name in map(plain_name, names):
            for uri in self._by_name.get(base_name(name), []):
                if uri.endswith(f"/{name}"):
                    found[uri.removesuffix(f"/{name}")] = None
        return [*found, self.source]

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for file in self.listed:
            found.setdefault(base_name(file.uri), []).append(file.uri)
        return found


def exists(files: Files, uri: str) -> bool:
    try:
        return any(file.uri == uri for file in files.list_source(uri))
    except OSError:
        return False
