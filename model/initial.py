"""Initial values, as published (GLIP trains the rest from ImageNet and BERT weights)."""

from __future__ import annotations

from torch import nn

from model.backbone import FeaturePyramid, WindowAttention
from model.convnet import ConvNet
from model.deform import ModulatedDeformConv
from model.dyhead import DyConv
from model.fusion import BiMultiHeadAttention
from model.head import Head
from model.language import BertEmbeddings


def initialise(model: nn.Module) -> None:
    """Draws the initial weights of every module that does not keep torch's defaults."""
    for module in model.modules():
        if isinstance(module, FeaturePyramid):
            for conv in convolutions(module):
                nn.init.kaiming_uniform_(conv.weight, a=1)
                clear_bias(conv)
        elif isinstance(module, ConvNet):
            for conv in convolutions(module):
                nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, WindowAttention):
            nn.init.trunc_normal_(module.relative_position_bias_table, std=0.02)
        elif isinstance(module, BertEmbeddings):
            for table in (module.word_embeddings, module.position_embeddings, module.token_type_embeddings):
                nn.init.normal_(table.weight, std=0.02)
            if module.word_projection is not None:  # from scratch: words must outweigh their positions from the start
                nn.init.normal_(module.word_embeddings.weight)
        elif isinstance(module, BiMultiHeadAttention):
            for linear in module.projections():
                nn.init.xavier_uniform_(linear.weight)
                clear_bias(linear)
        elif isinstance(module, DyConv):
            for conv in convolutions(module.AttnConv):
                nn.init.normal_(conv.weight, std=0.01)
                clear_bias(conv)
        elif isinstance(module, ModulatedDeformConv):
            bound = module.weight[0].numel() ** -0.5
            nn.init.uniform_(module.weight, -bound, bound)
        elif isinstance(module, Head):
            for conv in (module.bbox_pred, module.centerness):
                nn.init.normal_(conv.weight, std=0.01)
                clear_bias(conv)
            if module.small:
                nn.init.normal_(module.dot_product_projection_text.weight, std=0.3)


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [conv for conv in module.modules() if isinstance(conv, nn.Conv2d)]


def clear_bias(layer: nn.Conv2d | nn.Linear) -> None:
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
