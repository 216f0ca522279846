"""`phrasebox teacher`: released checkpoints, fetched and turned into safetensors."""

from __future__ import annotations

import errno
import logging
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

from pipeline.cli.commands import say
from stages.stage import UserError

HUB = "GLIPModel/GLIP"  # on the Hugging Face hub
RELEASED = {
    "glip-t-a": "glip_a_tiny_o365.pth",
    "glip-t-b": "glip_tiny_model_o365.pth",
    "glip-t-c": "glip_tiny_model_o365_goldg.pth",
    "glip-t": "glip_tiny_model_o365_goldg_cc_sbu.pth",
    "glip-l": "glip_large_model.pth",
}
BLOCK = 16 << 20  # bytes that are asked for at a time, and kept when the download is killed after them
OF_THIS_MACHINE = {  # errors that no other network would mend
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR,
}  # fmt: skip


def convert(variant: str, source: str, target: str) -> None:
    """A .pth in the official layout (loaded with weights_only=True) becomes a .safetensors that fits the variant."""
    from model.checkpoint import WeightsError
    from model.glip import Glip
    from model.variants import VARIANTS

    if variant not in VARIANTS:
        raise UserError(f"teacher convert: no variant {variant!r}; there are {', '.join(sorted(VARIANTS))}")
    if not target.endswith(".safetensors"):
        raise UserError(f"{target}: the name of the file to write must end in .safetensors")
    try:
        Glip.from_file(variant, source).save(target)
    except (WeightsError, OSError) as error:
        raise UserError(f"teacher convert: {error}") from None
    say(f"{target}: use it with --set label.teacher={variant} --set label.weights={target}")


def pull(variant: str, folder: str) -> None:
    """Fetches a released checkpoint; an interrupted download continues where it stopped, also in a later run."""
    from model.hub import is_network

    if variant not in RELEASED:
        raise UserError(f"teacher pull: no released {variant!r}; there are {', '.join(RELEASED)}")
    name = RELEASED[variant]
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it would tell of every attempt
    try:
        path = _download(name, Path(folder))
    except Exception as error:
        if isinstance(error, OSError) and error.errno in OF_THIS_MACHINE:
            raise UserError(f"teacher pull: {name} cannot be kept in {folder}: {error}") from None
        if not is_network(error):
            raise
        text = f"the hub cannot be reached or does not give the file ({type(error).__name__})"
        raise UserError(
            f"teacher pull: {text}; get {name} of {HUB} elsewhere and give its path as label.weights"
        ) from None
    say(f"{path}: use it with --set label.teacher={variant} --set label.weights={path}")


def info(name: str | None) -> None:
    """The model card of packaged weights; of all of them without a name."""
    from model.cards import card, cards

    if name is not None and name not in cards():
        raise UserError(f"teacher info: no packaged {name!r}; there are {', '.join(cards())}")
    text = "\n".join(card(one) for one in ([name] if name else cards()))
    say(*text.rstrip().splitlines())


def _download(name: str, folder: Path) -> Path:
    """The file in the folder, checked. What has arrived of it lies in `NAME.part` until it is whole.

    It is read through the hub's file system, which can begin in the middle: `hf_hub_download` keeps nothing of a
    download that was killed.
    """
    from huggingface_hub import HfFileSystem

    hub = HfFileSystem()
    facts = hub.info(f"{HUB}/{name}")
    size, sha256 = facts["size"], (facts.get("lfs") or {}).get("sha256", "")
    target, part = folder / name, folder / f"{name}.part"
    if target.exists() and target.stat().st_size == size:
        _check(target, sha256)
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with open(part, "ab") as file, hub.open(f"{HUB}/{name}", block_size=BLOCK) as source:
        if file.tell() > size:  # of another file
            file.truncate(0)
        source.seek(file.tell())
        with shown(source, size - file.tell(), name) as reader:
            while block := reader.read(BLOCK):
                file.write(block)
                file.flush()
    _check(part, sha256)
    part.replace(target)
    return target


def shown(source: BinaryIO, size: int, name: str) -> AbstractContextManager[BinaryIO]:
    """The reader, with a bar on a terminal."""
    from rich.console import Console
    from rich.progress import wrap_file

    return wrap_file(source, size, description=name, console=Console(stderr=True), disable=not sys.stderr.isatty())


def _check(path: Path, expected: str) -> None:
    """Deletes a file that has another sha256 than the hub states, and raises UserError."""
    from model.checkpoint import sha256

    if expected and sha256(path) != expected:
        path.unlink()
        raise UserError(
            f"teacher pull: {path.name} arrived damaged (another sha256 than known) and was deleted; try again"
        )
