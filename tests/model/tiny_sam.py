"""Tiny checkpoints with random weights of each family that cuts out boxes, as `save_pretrained` writes them.

EdgeTAM's image encoder is one of timm, which is not installed here (it needs torchvision): `TinyPyramid` stands in for
it, registered with transformers under a name of its own. All else is the library's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

SIDE = 64  # of the networks' input
FAMILIES = ("sam", "sam_hq", "sam2", "edgetam")


class TinyPyramidConfig(transformers.PretrainedConfig):  # type: ignore[misc]
    model_type = "tiny_pyramid"


class TinyPyramid(transformers.PreTrainedModel):  # type: ignore[misc]
    """Four levels of 8 channels, each half as wide as the one before, as timm's `features_only` gives them."""

    config_class = TinyPyramidConfig

    def __init__(self, config: TinyPyramidConfig) -> None:
        super().__init__(config)
        self.levels = nn.ModuleList(
            [nn.Conv2d(8 if i else 3, 8, 4 if not i else 2, 4 if not i else 2) for i in range(4)]
        )
        self.post_init()

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutput:
        maps = [pixel_values]
        for level in self.levels:
            maps.append(level(maps[-1]).tanh())
        return BaseModelOutput(last_hidden_state=maps[1:])


transformers.AutoConfig.register("tiny_pyramid", TinyPyramidConfig, exist_ok=True)
transformers.AutoModel.register(TinyPyramidConfig, TinyPyramid, exist_ok=True)


def save(family: str, folder: Path, seed: int = 0) -> Path:
    """A checkpoint of the family in the folder. Its masks are not all alike: weights are larger than the library's."""
    torch.manual_seed(seed)
    network = {"sam": sam, "sam_hq": sam_hq, "sam2": sam2, "edgetam": edgetam}[family]()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.25)
    network.save_pretrained(folder)
    return folder


def sam() -> Any:
    t = transformers
    return t.SamModel(
        t.SamConfig(
            vision_config=t.SamVisionConfig(**VIT).to_dict(),
            prompt_encoder_config=t.SamPromptEncoderConfig(**PROMPT).to_dict(),
            mask_decoder_config=t.SamMaskDecoderConfig(**DECODER).to_dict(),
        )
    )


def sam_hq() -> Any:
    t = transformers
    return t.SamHQModel(
        t.SamHQConfig(
            vision_config=t.SamHQVisionConfig(**VIT).to_dict(),
            prompt_encoder_config=t.SamHQPromptEncoderConfig(**PROMPT).to_dict(),
            mask_decoder_config=t.SamHQMaskDecoderConfig(**DECODER, vit_dim=16).to_dict(),
        )
    )


def sam2() -> Any:
    t = transformers
    backbone = t.Sam2HieraDetConfig(
        hidden_size=8,
        num_attention_heads=1,
        image_size=[SIDE, SIDE],
        blocks_per_stage=[1, 2, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 2, 4],
        window_size_per_stage=[4, 2, 2, 2],
        window_positional_embedding_background_size=[4, 4],
        global_attention_blocks=[4],  # not at the beginning of a stage, where the library divides by zero
    )
    vision = t.Sam2VisionConfig(backbone_config=backbone.to_dict(), backbone_channel_list=[64, 32, 16, 8], **PYRAMID)
    return t.Sam2Model(
        t.Sam2Config(
            vision_config=vision.to_dict(),
            prompt_encoder_config=t.Sam2PromptEncoderConfig(**PROMPT2).to_dict(),
            mask_decoder_config=t.Sam2MaskDecoderConfig(**DECODER2).to_dict(),
        )
    )


def edgetam() -> Any:
    t = transformers
    vision = t.EdgeTamVisionConfig(
        backbone_config=TinyPyramidConfig().to_dict(), backbone_channel_list=[8, 8, 8, 8], **PYRAMID
    )
    return t.EdgeTamModel(
        t.EdgeTamConfig(
            vision_config=vision.to_dict(),
            prompt_encoder_config=t.EdgeTamPromptEncoderConfig(**PROMPT2).to_dict(),
            mask_decoder_config=t.EdgeTamMaskDecoderConfig(**DECODER2).to_dict(),
        )
    )


VIT: dict[str, Any] = {
    "hidden_size": 16,
    "output_channels": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 8,
    "window_size": 4,
    "global_attn_indexes": [1],
    "mlp_dim": 32,
    "num_pos_feats": 8,
}
PROMPT: dict[str, Any] = {
    "hidden_size": 16, "image_size": SIDE, "patch_size": 8, "mask_input_channels": 8, "image_embedding_size": 8
}  # fmt: skip
DECODER: dict[str, Any] = {
    "hidden_size": 16, "mlp_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "iou_head_hidden_dim": 16
}  # fmt: skip
PYRAMID: dict[str, Any] = {"backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]], "fpn_hidden_size": 32}
PROMPT2: dict[str, Any] = {"hidden_size": 32, "image_size": SIDE, "patch_size": 16, "mask_input_channels": 8}
DECODER2: dict[str, Any] = {"hidden_size": 32, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 16}
