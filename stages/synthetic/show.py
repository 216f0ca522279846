"""A contact sheet of scenes for looking: boxes drawn, captions below.

python -m stages.synthetic.show sheet.png --split web --seed 0 --first 0 --count 24
"""

import argparse
import io
import textwrap

from PIL import Image, ImageDraw

from stages.synthetic.scene import Scene, draw_scene

_INKS = ("#e6194b", "#1e78ff", "#129a3c", "#f58231", "#911eb4")
_TILE_WIDTH, _TILE_HEIGHT, _TEXT_HEIGHT, _COLUMNS = 324, 324, 62, 6


def draw_boxes(scene: Scene) -> Image.Image:
    """The image with each gold box in the ink of its phrase, and the boxes of unmentioned objects in thin black."""
    image = Image.open(io.BytesIO(scene.jpeg)).convert("RGB")
    pen = ImageDraw.Draw(image)
    for _, (x1, y1, x2, y2) in scene.objects:
        pen.rectangle((x1, y1, x2 - 1, y2 - 1), outline="black")
    for box in scene.boxes:
        start, end = scene.spans[box.span]
        ink = _INKS[box.span % len(_INKS)]
        pen.rectangle((box.x1, box.y1, box.x2 - 1, box.y2 - 1), outline=ink)
        pen.text((box.x1 + 2, box.y1 + 1), scene.caption[start:end], fill=ink)
    return image


def contact_sheet(scenes: list[Scene]) -> Image.Image:
    """All scenes in a grid, each with its caption, its phrases in brackets."""
    rows = -(-len(scenes) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * _TILE_WIDTH, rows * (_TILE_HEIGHT + _TEXT_HEIGHT)), "white")
    pen = ImageDraw.Draw(sheet)
    for number, scene in enumerate(scenes):
        x, y = number % _COLUMNS * _TILE_WIDTH, number // _COLUMNS * (_TILE_HEIGHT + _TEXT_HEIGHT)
        sheet.paste(draw_boxes(scene), (x, y))
        text = scene.caption
        for start, end in reversed(scene.spans):
            text = f"{text[:start]}[{text[start:end]}]{text[end:]}"
        pen.multiline_text((x + 2, y + _TILE_HEIGHT), "\n".join(textwrap.wrap(text, 52)[:4]), fill="black")
    return sheet


def main() -> None:
    """Command line: see the module's first lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out")
    parser.add_argument("--split", default="web")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=24)
    options = parser.parse_args()
    indices = range(options.first, options.first + options.count)
    contact_sheet([draw_scene(options.split, options.seed, index) for index in indices]).save(options.out)


if __name__ == "__main__":
    main()
