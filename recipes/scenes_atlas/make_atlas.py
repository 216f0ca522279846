"""Makes stages/synthetic/atlas.png: the sprites of nouns.tsv, taken from the font Noto Color Emoji.

python -m recipes.scenes_atlas.make_atlas /usr/share/fonts/truetype/noto/NotoColorEmoji.ttf
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from PIL import Image

from stages.synthetic.atlas import ATLAS, CELL_HEIGHT, CELL_WIDTH, cell_of
from stages.synthetic.nouns import NOUNS


def read_bitmaps(font_file: Path, codepoints: list[int]) -> list[Image.Image]:
    """The first colour bitmap (RGBA) of each code point; raises KeyError where the font has none."""
    from fontTools.ttLib import TTFont

    font = TTFont(font_file)
    glyphs, strike = font.getBestCmap(), font["CBDT"].strikeData[0]
    return [Image.open(io.BytesIO(strike[glyphs[code]].imageData)).convert("RGBA") for code in codepoints]


def make_atlas(font_file: Path, target: Path) -> None:
    """Pastes each sprite, cut to what can be seen of it, into the top left corner of its noun's cell."""
    bitmaps = read_bitmaps(font_file, [noun.codepoint for noun in NOUNS])
    right, bottom = cell_of(0)[0], 0
    for position in range(len(NOUNS)):
        x, y = cell_of(position)
        right, bottom = max(right, x + CELL_WIDTH), max(bottom, y + CELL_HEIGHT)
    atlas = Image.new("RGBA", (right, bottom))
    for position, bitmap in enumerate(bitmaps):
        # A faint halo would make boxes loose, so what is nearly transparent does not count as visible.
        seen = bitmap.getchannel("A").point([0] * 32 + [255] * 224).getbbox()
        atlas.paste(bitmap.crop(seen), cell_of(position))
    atlas.save(target, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("font", type=Path, help="a build of the font with colour bitmaps (CBDT)")
    parser.add_argument("--out", type=Path, default=ATLAS)
    options = parser.parse_args()
    make_atlas(options.font, options.out)


if __name__ == "__main__":
    main()
