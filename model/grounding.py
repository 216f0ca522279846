"""How GLIP grounds: captions and category names to prompts, images to pixels, outputs to boxes, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from model.device import send, to_host
from model.geometry import to_half_open
from model.images import Sides, Size, normalise, padded_size, resize, resized_size, stack
from model.language import LIMIT
from model.network import GlipNetwork
from model.outputs import Grounding, HeadOutput
from model.postprocess import rank
from model.prompt import Prompt, caption_prompts, category_prompts, pad
from model.selection import OFFICIAL, Settings, begin_select
from model.teacher import NON_FINITE, Image, Query, Span, TeacherError, Turn, Work

SHORT = 32  # tokens; longer texts are batched by the next power of two, so that few tokens are padding


class GlipGrounder:
    """A GLIP network, in eval mode, as the scheduler runs it (`model.teacher.Grounder`)."""

    def __init__(self, network: GlipNetwork, sides: Sides) -> None:
        self.network = network
        self.sides = sides  # images are resized to: short and long side
        self.notes: Mapping[str, str] = {}

    @property
    def device(self) -> torch.device:
        return self.network.device

    def caption_work(self, caption: str, spans: Sequence[Sequence[Span]]) -> Work[Prompt]:
        """One prompt, or several where the caption is too long for one."""
        return caption_prompts(caption, spans)

    def category_work(self, categories: Sequence[str], per_prompt: int | None = None) -> Work[Prompt]:
        """As many names in a prompt as fit the text encoder, or `per_prompt`; what the network is tuned for, in the
        prompt that it is tuned with. Raises TeacherError for categories that a tuned prompt says nothing of.
        """
        own = self.network.listed
        if own is None:
            return category_prompts(categories, per_prompt)
        others = sorted(set(categories) - set(own.names))
        if not others:
            return own.work(categories)
        if own.alone:
            raise TeacherError(
                f"label.tuned: its prompt is for {', '.join(own.names[:5])}{', ...' if len(own.names) > 5 else ''}, and"
                f" {others[0]!r} is not among them; leave label.tuned out for other categories"
            )
        return category_prompts(categories, per_prompt)

    def bucket(self, size: Size, prompts: Sequence[Prompt]) -> Hashable:
        """Only images of equal padded shape share a batch, so that none sees padding because of another; and texts of
        like length, so that little of it is padding."""
        tokens = len(prompts[0].ids)
        return padded_size(resized_size(size, self.sides)), max(SHORT, 1 << (tokens - 1).bit_length())

    def prepare(self, image: Image) -> Image:
        """The image resized, (h, w, 3)."""
        return resize(image, resized_size(image.shape, self.sides))

    def ground(self, batch: Sequence[Query], score_floor: float) -> Iterator[Turn]:
        """The backbone sees each image once, the head once for every prompt: the first ones of all images in the first
        turn, and so on."""
        network = self.network
        threshold = min(OFFICIAL.threshold, score_floor**2)  # so that nothing above the floor is missing
        settings = Settings(threshold, score_floor=score_floor, limits_per_phrase=True)
        pixels = send(stack([query.image for query in batch], self.device), self.device)  # (B, H, W, 3)
        with network.autocast():
            maps = network.backbone(normalise(pixels, [prepared_size(query) for query in batch]))  # P3 .. P7
        for turn in range(max(len(query.prompts) for query in batch)):
            asked = {row: query.prompts[turn] for row, query in enumerate(batch) if turn < len(query.prompts)}
            own = maps if len(asked) == len(batch) else of_images(maps, list(asked))
            with network.autocast():
                outputs = network.head_from(own, *pad([prompt.ids for prompt in asked.values()], self.device))
            token_maps = [prompt.tokens for prompt in asked.values()]
            sizes = [prepared_size(batch[row]) for row in asked]
            most = max(len(own) for own in token_maps)
            found = begin_select(rank(outputs, token_maps, settings), sizes, settings, most)
            yield partial(collect, batch, asked, found, to_host([all_finite(outputs)]))


def collect(
    batch: Sequence[Query],
    asked: dict[int, Prompt],
    found: Callable[[], list[Grounding]],
    finite: Callable[[], list[Tensor]],
) -> list[Grounding]:
    """What is found in the images of a batch, of which some were asked, each one prompt: `asked`, by its place.

    Of those, found and finite (B,), whether all predictions for an image are; both wait for the device.
    """
    results = [Grounding.empty() for _ in batch]
    (sound,) = finite()
    for (row, prompt), one, usable in zip(asked.items(), found(), sound.tolist(), strict=True):
        real = (one.boxes[:, 2:] > one.boxes[:, :2]).all(1)
        boxes = to_half_open(one.boxes[real], batch[row].size, prepared_size(batch[row]))
        phrase = torch.tensor(prompt.phrases)[one.phrase[real]]
        own = Grounding(boxes, one.scores[real], phrase)
        results[row] = own if usable else Grounding.empty(failed=NON_FINITE)
    return results


def of_images(maps: Sequence[Tensor], rows: list[int]) -> list[Tensor]:
    """The maps, each (B, C, h, w), of some images of the batch."""
    index = send(torch.tensor(rows), maps[0].device)
    return [x[index] for x in maps]


def prepared_size(query: Query) -> Size:
    """(h, w) of the image as the network sees it, without padding."""
    height, width = np.shape(query.image)[:2]
    return height, width


def all_finite(outputs: Sequence[HeadOutput]) -> Tensor:
    """(B,) whether all predictions for an image are finite. A logit at its clamp was infinite, or as good as that."""
    checks = [
        check.flatten(1).all(1)
        for out in outputs
        for check in (out.token_logits.abs() < LIMIT, out.box_regression.isfinite(), out.centerness.isfinite())
    ]
    return torch.stack(checks).all(0)
