"""Tuned weights: a small file beside the weights of a base model, which adapts it to a set of categories.

    tuned = Tuned.load("tuned.safetensors")  # what it is for, and the tensors that differ from the base model's
    tuned.apply(glip, base)                  # from here on, glip asks for these categories in the tuned way

What differs depends on the method (GLIP, section 5.3): everything (`full`), the last layers (`linear`), one vector for
each token of the prompt (`prompt`), or with no shots nothing but the words of the prompt.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from model.checkpoint import WeightsError
from model.language import TunedPrompt
from model.network import GlipNetwork
from model.prompt import CategoryList, CategoryPrompt, encode
from model.variants import SwinSpec

HEADER = "phrasebox"  # of a file: what the tensors are, as JSON
FROZEN = ("backbone.body.patch_embed.", "backbone.body.layers.0.")  # in full tuning, of a Swin (FREEZE_CONV_BODY_AT 2)
LAST_LAYERS = tuple(
    f"rpn.head.{name}"
    for name in (
        *("bbox_pred.", "cls_logits.", "centerness.", "dot_product_projection_text."),
        *("log_scale", "bias_lang", "bias0"),
    )
)
OFFSET = "language_backbone.tuned.offset"


@dataclass(frozen=True)
class Tuned:
    """Tensors under the names of `Glip.state_dict`, and what they belong to."""

    variant: str
    base: str  # sha256 of the base model's weights
    method: str
    listed: CategoryList
    tensors: dict[str, Tensor]

    def to_bytes(self) -> bytes:
        """The file: safetensors, equal for equal tensors."""
        listed = {"names": self.listed.names, "prompts": [asdict(prompt) for prompt in self.listed.prompts]}
        about = {"variant": self.variant, "base": self.base, "method": self.method, **listed}
        tensors = {name: value.detach().cpu().contiguous() for name, value in self.tensors.items()}
        return save(tensors, metadata={HEADER: json.dumps(about, sort_keys=True)})

    @classmethod
    def load(cls, path: str | Path) -> Tuned:
        """Raises WeightsError for a file that holds no tuned weights."""
        if not Path(path).is_file():
            raise WeightsError(f"{path}: no such file of tuned weights")
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {}).get(HEADER, "null"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it has no iterator
        except (SafetensorError, ValueError) as error:
            raise WeightsError(f"{path}: not a safetensors file ({error})") from error
        try:
            prompts = [CategoryPrompt(**prompt) for prompt in about["prompts"]]
            listed = CategoryList.of(about["names"], prompts)
            return cls(about["variant"], about["base"], about["method"], listed, tensors)
        except (KeyError, TypeError, ValueError) as error:
            raise WeightsError(f"{path}: not a file that `phrasebox tune` writes ({error})") from error

    def apply(self, glip: GlipNetwork, base: str) -> None:
        """Puts the tensors into the network. base: sha256 of the weights that it has.

        Raises WeightsError where the tensors belong to other weights.
        """
        if (self.variant, self.base) != (glip.variant.name, base):
            raise WeightsError(
                f"tuned for {self.variant} with the weights {self.base[:12]}, not for {glip.variant.name} with"
                f" {base[:12]}"
            )
        if OFFSET in self.tensors:
            attach_prompt(glip, self.listed)
        own = glip.state_dict()
        for name, value in self.tensors.items():
            if name not in own or own[name].shape != value.shape:
                raise WeightsError(f"tuned weights hold {name} {tuple(value.shape)}, which {self.variant} has not")
        glip.load_state_dict(self.tensors, strict=False)
        glip.listed = replace(self.listed, alone=not self.tensors or OFFSET in self.tensors)


def attach_prompt(glip: GlipNetwork, listed: CategoryList) -> TunedPrompt:
    """A vector for each token of the prompt: zeros, so that nothing changes before it is trained."""
    prompt = TunedPrompt(encode(listed.caption).ids, glip.variant.text.hidden).to(glip.device)
    glip.language_backbone.tuned = prompt
    return prompt


def choose_trained(glip: GlipNetwork, method: str, listed: CategoryList) -> list[str]:
    """The names of the parameters that a method trains; all others lose their gradient.

    full: all, but for the first two stages of a Swin; linear: the last layers; prompt: one vector for each token, as
    GLIP's implementation has it under "language_prompt_v2".
    """
    if method == "prompt":
        glip.requires_grad_(False)
        attach_prompt(glip, listed)
    else:
        for name, parameter in glip.named_parameters():
            left_out = isinstance(glip.variant.backbone, SwinSpec) and name.startswith(FROZEN)
            wanted = not left_out if method == "full" else name.startswith(LAST_LAYERS)
            parameter.requires_grad_(parameter.requires_grad and wanted)
    return [name for name, parameter in glip.named_parameters() if parameter.requires_grad]
