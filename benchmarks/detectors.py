"""Detectors of transformers at their published sizes, with random weights, and what a user would run instead of ours.

A text encoder needs a vocabulary: BERT's is in the package, and CLIP's is made of the words that are asked for, each of
them a token, as most words are in CLIP's own.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, WhitespaceSplit
from tokenizers.trainers import BpeTrainer

from model.prompt import MAX_TOKENS, VOCABULARY

FAMILIES = {  # and the published checkpoint of that size
    "grounding-dino": "IDEA-Research/grounding-dino-tiny",
    "mm-grounding-dino": "rziga/llmdet_tiny",
    "owlv2": "google/owlv2-base-patch16-ensemble",
    "owlvit": "google/owlvit-base-patch32",
    "omdet-turbo": "omlab/omdet-turbo-swin-tiny-hf",
}
STOP = "<|endoftext|>"
FLOOR = 0.1  # the label stage's score floor, and the pipeline's threshold


def write_checkpoint(family: str, words: Sequence[str], folder: Path, small: bool = False) -> None:
    """A folder as `save_pretrained` writes it; `small`: of a network that takes no time, to try the benchmark out."""
    model, processor, tokenizer = make(family, words, small)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor.save_pretrained(folder)


def make(family: str, words: Sequence[str], small: bool) -> tuple[Any, Any, Any]:
    import transformers as t

    torch.manual_seed(0)
    if family in ("grounding-dino", "mm-grounding-dino"):
        name = {"grounding-dino": "GroundingDino", "mm-grounding-dino": "MMGroundingDino"}[family]
        config = getattr(t, f"{name}Config")(**({"encoder_layers": 1, "decoder_layers": 2} if small else {}))
        model = getattr(t, f"{name}ForObjectDetection")(config)
        size = {"shortest_edge": 224, "longest_edge": 320} if small else {"shortest_edge": 800, "longest_edge": 1333}
        return model, t.GroundingDinoImageProcessorPil(size=size), bert_tokenizer()
    tokenizer = clip_tokenizer(words)
    text = {"bos_token_id": len(tokenizer) - 2, "eos_token_id": len(tokenizer) - 1}
    if family == "omdet-turbo":
        side = 256 if small else 640
        body = {"image_size": side, "embed_dim": 96, "depths": [2, 2, 6, 2], "num_heads": [3, 6, 12, 24]}
        omdet = t.OmDetTurboConfig(
            backbone_config=t.SwinConfig(**body, window_size=7, out_indices=[2, 3, 4]),
            apply_layernorm_after_vision_backbone=False,
            text_config=t.CLIPTextConfig(**text),
            **({"decoder_num_layers": 1} if small else {}),
        )
        processor = t.GroundingDinoImageProcessorPil(size={"height": side, "width": side})
        return t.OmDetTurboForObjectDetection(omdet), processor, tokenizer
    name = {"owlv2": "Owlv2", "owlvit": "OwlViT"}[family]
    side, patch = {"owlv2": (960, 16), "owlvit": (768, 32)}[family]
    side = 8 * patch if small else side
    vision = {"image_size": side, "patch_size": patch, **({"num_hidden_layers": 1} if small else {})}
    config = getattr(t, f"{name}Config")(text_config=text, vision_config=vision)
    processor = getattr(t, f"{name}ImageProcessorPil")(size={"height": side, "width": side})
    return getattr(t, f"{name}ForObjectDetection")(config), processor, tokenizer


def bert_tokenizer() -> Any:
    from transformers import BertTokenizer

    words = VOCABULARY.read_text(encoding="utf-8").rstrip("\n").split("\n")
    return BertTokenizer(vocab={word: index for index, word in enumerate(words)}, model_max_length=MAX_TOKENS)


def clip_tokenizer(words: Sequence[str]) -> Any:
    """Pairs of letters are joined until each of the words is one token."""
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    learner = Tokenizer(BPE(end_of_word_suffix="</w>"))
    learner.pre_tokenizer = WhitespaceSplit()
    trainer = BpeTrainer(vocab_size=49_000, initial_alphabet=letters, end_of_word_suffix="</w>", show_progress=False)
    learner.train_from_iterator([word.lower() for word in words if word.isascii() and word.isalpha()], trainer)
    learned = json.loads(learner.to_str())["model"]
    known = dict.fromkeys([*letters, *(f"{letter}</w>" for letter in letters), *sorted(learned["vocab"])])
    vocabulary = {word: index for index, word in enumerate([*known, "<|startoftext|>", STOP])}
    return CLIPTokenizer(vocab=vocabulary, merges=[tuple(pair) for pair in learned["merges"]], pad_token=STOP)


class Library:
    """The same checkpoint in the library's own pipeline. It has none for OmDet-Turbo, whose forward is called."""

    def __init__(self, family: str, folder: Path, device: str, dtype: torch.dtype | None) -> None:
        import transformers as t

        name = {"owlv2": "Owlv2", "owlvit": "OwlViT"}.get(family, "GroundingDino")
        self.processor = getattr(t, f"{name}ImageProcessorPil").from_pretrained(folder)
        self.tokenizer = t.AutoTokenizer.from_pretrained(folder)
        model = t.AutoModelForZeroShotObjectDetection.from_pretrained(folder, dtype=torch.float32)
        self.model = model.eval().to(device)
        self.autocast = torch.autocast(torch.device(device).type, dtype=dtype or torch.bfloat16, enabled=bool(dtype))
        self.run = self._omdet if family == "omdet-turbo" else self._pipeline
        if family != "omdet-turbo":
            parts = {"image_processor": self.processor, "tokenizer": self.tokenizer, "device": device}
            self.pipeline = t.pipeline("zero-shot-object-detection", model=self.model, **parts)

    def ground(self, pairs: Sequence[tuple[bytes, list[str]]], batch_size: int) -> Iterator[int]:
        """From (JPEG, phrases) to boxes; yields how many each image has."""
        with torch.inference_mode(), self.autocast:
            yield from self.run([(decoded(jpeg), texts) for jpeg, texts in pairs if texts], batch_size)

    def _pipeline(self, pairs: list[tuple[Image.Image, list[str]]], batch_size: int) -> Iterator[int]:
        given = [{"image": image, "candidate_labels": texts} for image, texts in pairs]
        for found in self.pipeline(given, threshold=FLOOR, batch_size=batch_size):
            yield len(found)

    def _omdet(self, pairs: list[tuple[Image.Image, list[str]]], batch_size: int) -> Iterator[int]:
        """Its processor's tensors; the processor itself needs torchvision."""
        for start in range(0, len(pairs), batch_size):
            images, texts = zip(*pairs[start : start + batch_size], strict=True)
            pixels = self.processor(images=list(images), return_tensors="pt")["pixel_values"]
            classes = self._read([text for own in texts for text in own])
            tasks = self._read([f"Detect {', '.join(own)}." for own in texts])
            found = self.model(
                pixel_values=pixels.to(self.model.device),
                classes_input_ids=classes["input_ids"],
                classes_attention_mask=classes["attention_mask"],
                tasks_input_ids=tasks["input_ids"],
                tasks_attention_mask=tasks["attention_mask"],
                classes_structure=torch.tensor([len(own) for own in texts], device=self.model.device),
            )
            for own, scores in zip(texts, found.decoder_class_logits.sigmoid().cpu(), strict=True):
                yield int((scores[:, : len(own)] > FLOOR).sum())

    def _read(self, texts: list[str]) -> Any:
        options = {"padding": "max_length", "max_length": 77, "truncation": True, "return_tensors": "pt"}
        return self.tokenizer(texts, **options).to(self.model.device)


def decoded(jpeg: bytes) -> Image.Image:
    return Image.open(io.BytesIO(jpeg)).convert("RGB")
