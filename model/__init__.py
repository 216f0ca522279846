"""GLIP (Li et al. 2022, Grounded Language-Image Pre-training) in plain torch.

To read it, follow an image and its caption:

    images.py       pixels: resizing, normalisation, padding
    backbone.py     Swin transformer and feature pyramid, P3 to P7 (convnet.py: the small backbone of glip-nano)
    prompt.py       caption or category names to tokens, character spans to token positions
    language.py     BERT
    fusion.py       deep fusion: image positions and tokens attend to each other
    dyhead.py       the dynamic head's block (deform.py: its deformable convolution)
    head.py         tower of fusion, BERT layer and DyConv; boxes, centerness and word-region alignment
    postprocess.py  scores of phrases, NMS, limits (anchors.py: anchors, box coder, overlaps)
    losses.py       assignment of anchors to boxes, and what is trained
    inference.py    batches, loading beside computing, long captions, what happens when memory runs out
    glip.py         the whole: `Glip.ground`, `Glip.detect`, `Glip.stream`, `Glip.losses`

variants.py says how large each variant is, checkpoint.py reads and writes weights, initial.py draws them, device.py
sends tensors to a GPU.
Shapes stand at line ends where they change: B images, N positions of all levels, L tokens, C channels.
"""
