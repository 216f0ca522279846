"""The GLIP variants: one frozen description each, from which `model.glip.Glip` is built.

`glip-t-b`, `glip-t-c` and the released `glip-t` are one architecture, trained on different data. `glip-nano` is ours:
the same language, fusion and head code at a fraction of the width, over a small convolutional backbone. `glip-photos`
is ours, too, and wider: its backbone is that of a small detector of photos.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class SwinSpec:
    """A Swin transformer (Liu et al. 2021). Widths double from stage to stage."""

    width: int
    depths: tuple[int, int, int, int]
    heads: tuple[int, int, int, int]
    window: int

    @property
    def widths(self) -> tuple[int, ...]:
        return tuple(self.width * 2**stage for stage in range(4))


@dataclass(frozen=True)
class ConvSpec:
    """A small residual network with GroupNorm, for `glip-nano`."""

    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]


@dataclass(frozen=True)
class ShuffleSpec:
    """A ShuffleNet V2 (Ma et al. 2018) with the pyramid of NanoDet-Plus, for `glip-photos`."""

    stem: int
    widths: tuple[int, int, int]  # of the stages at strides 8, 16 and 32
    depths: tuple[int, int, int]


@dataclass(frozen=True)
class TextSpec:
    """A BERT encoder. `embedding` below `hidden` factorises the word table (vocabulary x embedding x hidden)."""

    hidden: int = 768
    layers: int = 12
    heads: int = 12
    intermediate: int = 3072
    positions: int = 512
    vocabulary: int = 30522
    embedding: int = 768


@dataclass(frozen=True)
class FusionSpec:
    """Deep fusion (GLIP section 3.2): cross-attention between image positions and tokens, before each tower block."""

    width: int = 2048
    heads: int = 8


@dataclass(frozen=True)
class Regularisation:
    """What is dropped at random in train mode. All off by default."""

    drop_path: float = 0.0  # Swin's stochastic depth, growing linearly with the depth up to this value
    text_dropout: float = 0.0  # BERT, the fusion's BERT layers included (hidden states and attention)
    fusion_dropout: float = 0.0  # attention maps of the fusion
    drop_block: float = 0.0  # merged laterals of P3 and P4 in the FPN


NONE = Regularisation()


@dataclass(frozen=True)
class Variant:
    """Everything that the architecture depends on, and the image size it was made for."""

    name: str
    backbone: SwinSpec | ConvSpec | ShuffleSpec
    text: TextSpec = TextSpec()
    fusion: FusionSpec | None = FusionSpec()  # None: only the last layers of image and text meet (GLIP-T (A))
    tower: int = 6  # blocks of the head: fusion + BERT layer + DyConv each
    channels: int = 256  # of the FPN and of the head
    old_classes: int = 80  # outputs of a class head that official checkpoints carry and nothing uses; 0: not there
    short: int = 800  # images are resized to this short side ...
    long: int = 1333  # ... unless the long side would pass this one
    published: Regularisation = NONE  # what the published training used; an option here


_SWIN_T = SwinSpec(96, (2, 2, 6, 2), (3, 6, 12, 24), window=7)
_SWIN_L = SwinSpec(192, (2, 2, 18, 2), (6, 12, 24, 48), window=12)
_GLIP_T = Variant("glip-t", _SWIN_T, published=Regularisation(0.2, 0.1, 0.1, 0.3))

VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        replace(_GLIP_T, name="glip-t-a", fusion=None),
        replace(_GLIP_T, name="glip-t-b"),
        replace(_GLIP_T, name="glip-t-c"),
        _GLIP_T,
        Variant("glip-l", _SWIN_L, tower=8, published=Regularisation(0.4, 0.1, 0.1, 0.3)),
        Variant(
            "glip-nano",
            ConvSpec(widths=(32, 64, 96, 128), depths=(1, 2, 2, 1)),
            text=TextSpec(hidden=96, layers=2, heads=4, intermediate=192, positions=256, embedding=32),
            fusion=FusionSpec(width=128, heads=4),
            tower=2,
            channels=64,
            old_classes=0,
            short=192,
            long=320,
        ),
        Variant(
            "glip-photos",
            ShuffleSpec(stem=24, widths=(176, 352, 704), depths=(4, 8, 4)),
            text=TextSpec(hidden=128, layers=2, heads=4, intermediate=512, positions=256, embedding=64),
            fusion=FusionSpec(width=256, heads=4),
            tower=1,
            channels=128,
            old_classes=0,
            short=240,
            long=320,
        ),
    )
}


def get_variant(name: str) -> Variant:
    """The variant of that name; raises ValueError that lists the names there are."""
    if name not in VARIANTS:
        raise ValueError(f"unknown GLIP variant {name!r}; there are {', '.join(sorted(VARIANTS))}")
    return VARIANTS[name]
