"""Tiny checkpoints of the detectors of transformers, with random weights, saved as the library saves its own.

folder = write_checkpoint("owlv2", tmp_path / "owlv2")
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers.pre_tokenizers import ByteLevel

from model.prompt import VOCABULARY

CLIP_WORDS = sorted(ByteLevel.alphabet())  # a character for each byte
STOP = "<|endoftext|>"


def write_checkpoint(family: str, folder: Path, seed: int = 0) -> Path:
    """`family`: a `model_type`. Weights, config, tokenizer and image settings, of some hundred kilobytes."""
    from transformers.utils import logging

    model, processor, tokenizer = FAMILIES[family]()
    randomise(model, seed)
    logging.disable_progress_bar()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if processor is not None:
        processor.save_pretrained(folder)
    else:
        size = {"height": 64, "width": 64}
        (folder / "preprocessor_config.json").write_text(json.dumps({"size": size, "do_pad": True}))
    return folder


@torch.no_grad()
def randomise(model: Any, seed: int) -> None:
    """Weights of a size at which predictions differ from each other."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in sorted(model.named_parameters()):
        if weight.dim() > 1:
            scale = 1.0 if "embeddings" in name else weight[0].numel() ** -0.5
            scale *= 0.2 if "bbox" in name else 1.0  # else boxes lie at the borders
            weight.copy_(torch.randn(weight.shape, generator=generator) * scale)
        elif name.endswith("bias"):
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
        elif name == "model.decoder.layer_norm.weight":  # of Grounding DINO: its product with text is the logit
            weight.fill_(weight.numel() ** -0.5)


def swin() -> Any:
    from transformers import SwinConfig

    return SwinConfig(
        image_size=64, embed_dim=8, depths=[1] * 4, num_heads=[1, 1, 2, 2], window_size=4, out_indices=[2, 3, 4]
    )


def bert_tokenizer() -> Any:
    from transformers import BertTokenizer

    words = VOCABULARY.read_text(encoding="utf-8").rstrip("\n").split("\n")
    return BertTokenizer(vocab={word: index for index, word in enumerate(words)}, do_lower_case=True)


def clip_tokenizer() -> Any:
    """A letter is a token."""
    from transformers import CLIPTokenizer

    words = [*CLIP_WORDS, *(f"{word}</w>" for word in CLIP_WORDS), "<|startoftext|>", STOP]
    return CLIPTokenizer(vocab={word: index for index, word in enumerate(words)}, merges=[], pad_token=STOP)


def clip_vocabulary() -> dict[str, int]:
    words = len(CLIP_WORDS) * 2
    return {"vocab_size": words + 2, "bos_token_id": words, "eos_token_id": words + 1, "pad_token_id": words + 1}


def grounding_dino(mm: bool = False) -> tuple[Any, Any, Any]:
    import transformers
    from transformers import BertConfig, GroundingDinoImageProcessorPil

    config = (transformers.MMGroundingDinoConfig if mm else transformers.GroundingDinoConfig)(
        backbone_config=swin(),
        text_config=BertConfig(
            vocab_size=30522, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
        ),
        num_queries=30,
        d_model=64,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        max_text_len=24,
        disable_custom_kernels=True,
    )
    kind = transformers.MMGroundingDinoForObjectDetection if mm else transformers.GroundingDinoForObjectDetection
    processor = GroundingDinoImageProcessorPil(size={"shortest_edge": 96, "longest_edge": 160})
    return kind(config).eval(), processor, bert_tokenizer()


def owl(name: str) -> tuple[Any, Any, Any]:
    import transformers

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    text = {**sizes, **clip_vocabulary(), "max_position_embeddings": 16}
    vision = {**sizes, "image_size": 64, "patch_size": 8}
    config = getattr(transformers, f"{name}Config")(text_config=text, vision_config=vision, projection_dim=16)
    processor = getattr(transformers, f"{name}ImageProcessorPil")(size={"height": 64, "width": 64})
    return getattr(transformers, f"{name}ForObjectDetection")(config).eval(), processor, clip_tokenizer()


def omdet_turbo() -> tuple[Any, Any, Any]:
    from transformers import CLIPTextConfig, OmDetTurboConfig, OmDetTurboForObjectDetection

    text = CLIPTextConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, projection_dim=16,
        max_position_embeddings=77, **clip_vocabulary(),
    )  # fmt: skip
    config = OmDetTurboConfig(
        backbone_config=swin(),
        use_timm_backbone=False,
        apply_layernorm_after_vision_backbone=False,
        text_config=text,
        text_projection_in_dim=16,
        text_projection_out_dim=16,
        class_embed_dim=16,
        task_encoder_hidden_dim=32,
        num_queries=30,
        encoder_hidden_dim=32,
        d_model=32,
        encoder_in_channels=[16, 32, 64],
        encoder_dim_feedforward=32,
        encoder_attention_heads=2,
        vision_features_channels=[32, 32, 32],
        decoder_hidden_dim=32,
        decoder_num_heads=2,
        decoder_num_layers=2,
        decoder_dim_feedforward=32,
        image_size=64,
        eval_size=None,
    )
    return OmDetTurboForObjectDetection(config).eval(), None, clip_tokenizer()


FAMILIES: dict[str, Callable[[], tuple[Any, Any, Any]]] = {
    "grounding-dino": grounding_dino,
    "mm-grounding-dino": lambda: grounding_dino(mm=True),
    "owlvit": lambda: owl("OwlViT"),
    "owlv2": lambda: owl("Owlv2"),
    "omdet-turbo": omdet_turbo,
}
