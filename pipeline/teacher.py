"""`phrasebox teacher`: released checkpoints, fetched and turned into safetensors."""

from __future__ import annotations

import logging
import os

from pipeline.commands import say
from stages.stage import UserError

HUB = "GLIPModel/GLIP"  # on the Hugging Face hub
RELEASED = {
    "glip-t-a": "glip_a_tiny_o365.pth",
    "glip-t-b": "glip_tiny_model_o365.pth",
    "glip-t-c": "glip_tiny_model_o365_goldg.pth",
    "glip-t": "glip_tiny_model_o365_goldg_cc_sbu.pth",
    "glip-l": "glip_large_model.pth",
}
SHA256: dict[str, str] = {}  # by file name, once known from a download that was looked at


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
    """Fetches a released checkpoint; an interrupted download goes on where it stopped."""
    if variant not in RELEASED:
        raise UserError(f"teacher pull: no released {variant!r}; there are {', '.join(RELEASED)}")
    name = RELEASED[variant]
    from huggingface_hub import hf_hub_download

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it would tell of every attempt
    try:
        path = hf_hub_download(HUB, name, local_dir=folder)
    except Exception as error:
        if not _is_network(error):
            raise
        text = f"the hub cannot be reached ({type(error).__name__})"
        raise UserError(
            f"teacher pull: {text}; get {name} of {HUB} elsewhere and give its path as label.weights"
        ) from None
    _check(path, name)
    say(f"{path}: use it with --set label.teacher={variant} --set label.weights={path}")


def _check(path: str, name: str) -> None:
    from model.checkpoint import sha256

    if name in SHA256 and sha256(path) != SHA256[name]:
        os.unlink(path)
        raise UserError(f"teacher pull: {name} arrived damaged (another sha256 than known) and was deleted; try again")


def _is_network(error: Exception) -> bool:
    """No connection, no answer, or a refusal of the hub: nothing that this program could mend."""
    modules = {"httpx", "httpcore", "requests", "urllib3", "huggingface_hub"}
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in modules
