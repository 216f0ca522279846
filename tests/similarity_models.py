"""Tiny random checkpoints of the networks that embed images, saved to a folder as the library saves them.

Those of FAMILIES know texts, too, and rescore; those of IMAGES_ALONE do not.
"""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import torch

FAMILIES = ("clip", "metaclip_2", "siglip", "siglip2")
IMAGES_ALONE = {"dinov2": "Dinov2", "dinov2_with_registers": "Dinov2WithRegisters", "dinov3_vit": "DINOv3ViT"}
LETTERS = string.ascii_lowercase + string.digits + ".,'-"
SIDE, PATCH, WIDTH, TOKENS = 32, 8, 16, 12
TOWER = {"hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def save_checkpoint(family: str, folder: Path, seed: int = 0) -> Path:
    """A checkpoint of the family with its tokenizer and the settings of its image processor."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = tokenizer_of(family)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    network = network_of(family, len(tokenizer), tokenizer)
    with torch.no_grad():
        for parameter in network.parameters():  # as initialised, all vectors would be nearly the same
            parameter.add_(0.2 * torch.randn_like(parameter))
    network.eval().save_pretrained(folder)
    processor_of(family).save_pretrained(folder)
    if family == "siglip":  # what the released checkpoints name, which needs sentencepiece in the library
        path = folder / "tokenizer_config.json"
        settings = json.loads(path.read_text())
        path.write_text(json.dumps({**settings, "tokenizer_class": "SiglipTokenizer"}))
    return folder


def save_image_network(family: str, folder: Path, seed: int = 0) -> Path:
    """A checkpoint of a network that knows images alone, with the settings of its image processor."""
    import transformers

    prefix = IMAGES_ALONE[family]
    sizes = {**TOWER, "image_size": SIDE, "patch_size": PATCH}
    torch.manual_seed(seed)
    network = getattr(transformers, f"{prefix}Model")(getattr(transformers, f"{prefix}Config")(**sizes))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    network.eval().save_pretrained(folder)
    stretched_processor().save_pretrained(folder)
    return folder


def stretched_processor() -> Any:
    """To the square, with the mean and deviation of ImageNet, as DINOv3's."""
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    return ViTImageProcessorPil(size={"height": SIDE, "width": SIDE}, image_mean=mean, image_std=deviation)


def network_of(family: str, vocabulary: int, tokenizer: Any) -> Any:
    import transformers

    ends = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": 0, "eos_token_id": tokenizer.eos_token_id}
    text = {**TOWER, **ends, "vocab_size": vocabulary, "max_position_embeddings": TOKENS}
    vision = {**TOWER, "patch_size": PATCH}
    if family == "siglip2":
        vision |= {"num_patches": 16}
        text |= {"projection_size": WIDTH}
    else:
        vision |= {"image_size": SIDE}
    if family in ("clip", "metaclip_2"):
        text, vision = {**text, "projection_dim": WIDTH}, {**vision, "projection_dim": WIDTH}
        kind = "CLIP" if family == "clip" else "MetaClip2"
        config = getattr(transformers, f"{kind}Config")(text_config=text, vision_config=vision, projection_dim=WIDTH)
    else:
        kind = "Siglip" if family == "siglip" else "Siglip2"
        config = getattr(transformers, f"{kind}Config")(text_config=text, vision_config=vision)
    return getattr(transformers, f"{kind}Model")(config)


def tokenizer_of(family: str) -> Any:
    import transformers

    if family == "clip":
        words = ["<|startoftext|>", "<|endoftext|>", *LETTERS, *(letter + "</w>" for letter in LETTERS)]
        return transformers.CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[])
    if family == "metaclip_2":
        pieces = [(name, 0.0) for name in ("<s>", "<pad>", "</s>", "<unk>")]
        pieces += [(letter, -3.0) for letter in LETTERS + "▁"] + [("▁" + letter, -2.0) for letter in LETTERS]
        return transformers.XLMRobertaTokenizer(vocab=pieces)
    words = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *LETTERS, "▁"]
    side = "right" if family == "siglip" else "left"  # of the padding, as the library's classes have it
    return transformers.Siglip2Tokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], padding_side=side)


def processor_of(family: str) -> Any:
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
    from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

    if family == "siglip":
        return SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    if family == "siglip2":
        return Siglip2ImageProcessorPil(patch_size=PATCH, max_num_patches=16)
    return CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
