"""The networks of transformers that give an image and a text a vector each, whose cosine says how well they fit.

    model = Similarity(folder)
    texts = model.text_vectors(["a red umbrella", "a dog"])          # (2, D)
    (crops,) = model.image_vectors([[model.pixels.crop(region)]])     # one tensor (1, D) for each group of crops
    cosines = crops @ texts.T                                         # (1, 2)

CLIP (Radford et al. 2021), SigLIP (Zhai et al. 2023), SigLIP 2 (Tschannen et al. 2025), MetaCLIP 2 (Chuang et al.
2025).
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from model.device import send
from model.hub import CONFIG, HubError, read_json
from model.pretrained import library
from model.similarity.images import ImageEmbedder
from model.similarity.pixels import Patched, Stretched, read_settings


class Family(NamedTuple):
    """What sets the networks of a `model_type` apart."""

    network: str  # the class in transformers
    pixels: type[Stretched | Patched]
    whole_text: bool  # was trained on lower-case texts that are padded to the longest it reads


FAMILIES = {
    "clip": Family("CLIPModel", Stretched, whole_text=False),
    "metaclip_2": Family("MetaClip2Model", Stretched, whole_text=False),
    "siglip": Family("SiglipModel", Stretched, whole_text=True),
    "siglip2": Family("Siglip2Model", Patched, whole_text=True),
}
TOKENIZER = "tokenizer.json"
SENTENCEPIECE = "SiglipTokenizer"  # needs the package of this name in transformers


def family_of(folder: Path) -> Family:
    """The family of a checkpoint, with all that is needed beside its weights in the folder. Raises HubError."""
    kind = read_json(folder / CONFIG).get("model_type")
    if kind not in FAMILIES:
        raise HubError(f"{folder}: a model of the type {kind!r}; those that can be used are {', '.join(FAMILIES)}")
    if not (folder / TOKENIZER).is_file():
        raise HubError(f"{folder}: no {TOKENIZER} in it; save the tokenizer again with a newer transformers")
    FAMILIES[kind].pixels(read_settings(folder))
    return FAMILIES[kind]


class Similarity(ImageEmbedder):
    """An image-text model on its device, at its precision. Texts and images go through it in batches."""

    def __init__(self, folder: Path, device: str = "cpu", precision: str = "fp32", batch_size: int = 32) -> None:
        """Raises HubError, DeviceError."""
        self.family = family_of(folder)
        pixels = self.family.pixels(read_settings(folder))
        super().__init__(folder, self.family.network, pixels, device, precision, batch_size)
        self.tokenizer, self.canonical = open_tokenizer(folder)
        self.longest = int(self.network.config.text_config.max_position_embeddings)  # tokens of a text

    @property
    def logits(self) -> dict[str, float]:
        """What makes a logit of a cosine: scale * cosine + bias. The sigmoid of SigLIP's is a probability."""
        found = {"scale": self.network.logit_scale.exp().item()}
        bias = getattr(self.network, "logit_bias", None)
        return found if bias is None else {**found, "bias": bias.item()}

    def text_vectors(self, texts: Sequence[str]) -> tuple[Tensor, list[bool]]:
        """A vector (N, D) of length 1 for each text, float32 on the CPU, and which texts were too long and were cut.

        Batches hold texts of nearly one length. They follow from the texts alone, and so do the numbers.
        """
        tokens = [self._tokens(text) for text in texts]
        order = sorted(range(len(texts)), key=lambda number: len(tokens[number]))
        vectors: list[Tensor] = []
        for start in range(0, len(order), self.batch_size):
            chosen = [self._prepared(texts[number]) for number in order[start : start + self.batch_size]]
            inputs = self._tokenized(chosen)
            vectors.append(self._unit(self.network.get_text_features, inputs))
        if not vectors:
            return torch.zeros(0, 0), []
        place = torch.tensor(order).argsort()
        return torch.cat(vectors)[place], [len(own) > self.longest for own in tokens]

    def _image_features(self, **inputs: Tensor) -> Any:
        return self.network.get_image_features(**inputs)

    def _prepared(self, text: str) -> str:
        if not self.family.whole_text:
            return text
        return canonical(text) if self.canonical else text.lower()

    def _tokens(self, text: str) -> list[int]:
        """Of the text alone, however long it is."""
        found: list[int] = self.tokenizer(self._prepared(text), truncation=False)["input_ids"]
        return found

    def _tokenized(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """input_ids (B, L), and the mask (B, L) where the checkpoint's tokenizer gives one."""
        padding = "max_length" if self.family.whole_text else "longest"
        found = self.tokenizer(
            list(texts), padding=padding, truncation=True, max_length=self.longest, return_tensors="pt"
        )
        return {name: send(found[name], self.device) for name in ("input_ids", "attention_mask") if name in found}


def open_tokenizer(folder: Path) -> tuple[Any, bool]:
    """The checkpoint's own tokenizer, and whether its texts have to be `canonical`: SigLIP's, which is opened from its
    tokenizer.json, because transformers' own class needs sentencepiece. Raises HubError."""
    transformers = library(folder)
    path = folder / "tokenizer_config.json"
    named = read_json(path).get("tokenizer_class") if path.is_file() else None
    is_siglip = named == SENTENCEPIECE
    kind = transformers.PreTrainedTokenizerFast if is_siglip else transformers.AutoTokenizer
    try:
        return kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False), is_siglip
    except (OSError, ValueError, ImportError) as error:
        raise HubError(f"{folder}: the tokenizer cannot be opened ({' '.join(str(error).split())[:300]})") from error


def canonical(text: str) -> str:
    """SigLIP's form of a text: lower case, no punctuation, single spaces."""
    return " ".join(text.lower().translate(str.maketrans("", "", string.punctuation)).split())
