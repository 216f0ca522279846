"""One image of Flickr30k Entities in both forms of the data."""

from __future__ import annotations

from typing import Any

SENTENCES = """\
[/EN#1/people/other Two girls] in [/EN#2/clothing red hats] hug [/EN#1/people each other] at [/EN#3/scene a fair] .
[/EN#0/notvisual It] is   [/EN#2/clothing hats [ sic ]] , [/EN#4/animals a café dog] .
Nobody is here .

"""


ANNOTATION = """\
<annotation><filename>36.jpg</filename>
<size><width>100</width><height>80</height><depth>3</depth></size>
<object><name>1</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>20</xmax><ymax>40</ymax></bndbox></object>
<object><name>1</name><name>2</name>
 <bndbox><xmin>41</xmin><ymin>1</ymin><xmax>60</xmax><ymax>40</ymax></bndbox></object>
<object><name>3</name><scene>1</scene><nobndbox>0</nobndbox></object>
<object><name>4</name><scene>0</scene><nobndbox>1</nobndbox></object>
</annotation>"""


FIRST = "Two girls in red hats hug each other at a fair ."


SECOND = "It is hats [ sic ] , a café dog ."


LEFT, RIGHT, AROUND = (0.0, 0.0, 20.0, 40.0), (40.0, 0.0, 60.0, 40.0), (0.0, 0.0, 60.0, 40.0)


WRONG = (70.0, 50.0, 90.0, 70.0)


def as_mdetr(boxes: dict[tuple[int, int], list[list[float]]]) -> dict[str, Any]:
    """The first caption as MDETR writes it: {span of a phrase to be found: its boxes xywh}."""
    return {
        "images": [
            {
                "id": 77,
                "file_name": "36.jpg",
                "height": "80",
                "width": "100",
                "caption": FIRST,
                "tokens_positive_eval": [[list(span)] for span in boxes],
            }
        ],
        "annotations": [
            {"id": number, "image_id": 77, "bbox": box, "tokens_positive": [list(span), [30, 31]]}
            for number, (span, box) in enumerate((span, box) for span, own in boxes.items() for box in own)
        ],
    }
