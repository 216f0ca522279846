"""Teachers: models that find the boxes of phrases in images. GLIP (Li et al. 2022) is here itself, in plain torch.

What every teacher is, and how one is run:

    teacher.py      the protocol: a text becomes prompts, images come in batches, a batch becomes boxes
    scheduler.py    batches of any teacher: loading beside computing, several prompts, what happens when memory runs out
    teachers/       the registry, by the names that a config gives; one file for each family of teachers

    similarity/     image-text models of CLIP's kind, which the stage rescore asks about crops

To read GLIP, follow an image and its caption:

    images.py       pixels: resizing, normalisation, padding
    backbone.py     Swin transformer and feature pyramid, P3 to P7 (convnet.py: the small backbone of glip-nano)
    prompt.py       caption or category names to tokens, character spans to token positions
    language.py     BERT
    fusion.py       deep fusion: image positions and tokens attend to each other
    dyhead.py       the dynamic head's block (deform.py: its deformable convolution; deform_kernel.py: as a kernel for
                    GPUs, made of deform_programs.py; deform_choice.py: which of both)
    head.py         tower of fusion, BERT layer and DyConv; boxes, centerness and word-region alignment
    postprocess.py  scores of phrases, NMS, limits (anchors.py: anchors and box coder; geometry.py: overlaps, NMS)
    losses.py       assignment of anchors to boxes, and what is trained
    network.py      these modules as one network
    grounding.py    the network as the scheduler runs it: from a batch to its boxes, prompt by prompt
    glip.py         the whole: `Glip.ground`, `Glip.detect`, `Glip.stream`, `Glip.losses`

variants.py says how large each variant is, checkpoint.py reads and writes weights, initial.py draws them, device.py
knows devices and precisions.
Shapes stand at line ends where they change: B images, N positions of all levels, L tokens, C channels.
"""
