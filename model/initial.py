"""Initial values, as published (GLIP trains the rest from ImageNet and BERT weights).

A small model without BERT's weights starts differently on the text side: with the published values its words would be
nearly alike, drowned by their positions, and the projection so small that thousands of steps only raise it. Its words
start as random codes that differ, and the projection at the scale of the logits.
"""

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
            for conv in module.modules():
                if isinstance(conv, nn.Conv2d):
                    nn.init.kaiming_uniform_(conv.weight, a=1)
                    nn.init.zeros_(conv.bias)
        elif isinstance(module, ConvNet):
            for conv in module.modules():
                if isinstance(conv, nn.Conv2d):
                    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, WindowAttention):
            nn.init.trunc_normal_(module.relative_position_bias_table, std=0.02)
        elif isinstance(module, BertEmbeddings):
            for table in (module.word_embeddings, module.position_embeddings, module.token_type_embeddings):
                nn.init.normal_(table.weight, std=0.02)
            if module.word_projection is not None:
                nn.init.normal_(module.word_embeddings.weight)
        elif isinstance(module, BiMultiHeadAttention):
            for linear in module.children():
                nn.init.xavier_uniform_(linear.weight)
                nn.init.zeros_(linear.bias)
        elif isinstance(module, DyConv):
            nn.init.normal_(module.AttnConv[1].weight, std=0.01)
            nn.init.zeros_(module.AttnConv[1].bias)
        elif isinstance(module, ModulatedDeformConv):
            bound = module.weight[0].numel() ** -0.5
            nn.init.uniform_(module.weight, -bound, bound)
        elif isinstance(module, Head):
            for conv in (module.bbox_pred, module.centerness):
                nn.init.normal_(conv.weight, std=0.01)
                nn.init.zeros_(conv.bias)
            if module.small:
                nn.init.normal_(module.dot_product_projection_text.weight, std=0.3)
