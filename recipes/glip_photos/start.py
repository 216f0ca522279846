"""The weights that the training of `glip-photos` starts from: a detector's eyes and MiniLM's words.

    python -m recipes.glip_photos.start [--shared ../shared] [--data data/photos] [--out data/photos/start.safetensors]

The backbone gets NanoDet-Plus' weights (detector.py). The head would forget what the detector knows before it has
learned to ask for it, so it begins as a reader of the detector's own predictions:

1. The last convolution of each level predicts classes and boxes, with what is left of the features beside them, so that
   nothing is lost; scaled, and turned by an orthogonal matrix, so that every channel carries a part of everything and
   the head's GroupNorm sees even groups. Levels that the detector reads in four ways are then in one space.
2. Fusion adds nothing yet, and DyConv passes its level on, with a little of its neighbours.
3. Box regression, centerness, and vectors of the 80 categories and of nouns are fitted on training photos (fit.py).
4. The word table is MiniLM's. The layers above it learn to turn a category's name in a list, or a phrase of a caption,
   into its vector; words near it in the table come out near it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.dyhead import DyConv
from model.fusion import Fusion
from model.geometry import to_legacy
from model.glip import Glip
from model.head import Head
from model.images import preprocess
from model.language import BertLayer
from model.prompt import category_caption, pad, truncated
from recipes.glip_photos.detector import Outputs, load_detector
from recipes.glip_photos.fit import FEATURES, UNNAMED, Fit, Fitter, Pixels, inputs_of, positions
from stages.images import decode_rgb
from stages.stage import ImageRef
from stages.train.annotated import MdetrSet
from stages.train.wording import noun

MAX_PIXELS = 10_000_000
TEXTS = 16  # in a step of the text's training
LAST_SIGN = 1012  # tokens up to this one are special, or signs such as the full stop
Text = tuple[str, list[list[tuple[int, int]]], list[Tensor]]  # its names' spans, and the vector that each stands for
Draw = Callable[[np.random.Generator], Text]

BEYOND = 0.15  # share of a level's neighbours in what DyConv passes on
SHORT, LONG = 192, 256  # of the photos that the head is fitted on


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--data", type=Path, default=Path("data/photos"), help="where prepare.py has written")
    parser.add_argument("--gold", type=Path, default=None, help="people's phrases [entities_train.json in --data]")
    parser.add_argument("--images", type=Path, default=None, help="the photos of these phrases [flickr in --data]")
    parser.add_argument("--out", type=Path, default=Path("data/photos/start.safetensors"))
    parser.add_argument("--photos", type=int, default=2000, help="to fit the head on")
    parser.add_argument("--steps", type=int, default=800, help="of the text encoder's training")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    photos = options.shared / "data" / "photos"
    phrases = options.gold or options.data / "entities_train.json"
    gold = MdetrSet(LocalFiles(), str(phrases), str(options.images or options.data / "flickr"))
    glip = Glip.from_variant("glip-photos", options.seed).eval()
    outputs = load_detector(glip.backbone.body, glip.backbone.fpn, photos / "detector")
    batches = photo_batches(gold, options.data, options.photos, options.seed)
    with torch.no_grad():
        join_levels(glip, outputs, [batch.pixels for batch in batches[:: max(1, len(batches) // 40)]], options.seed)
        pass_through(glip.rpn.head)
        fitter = Fitter(glip, outputs)
        for batch in batches:
            fitter.add(batch)
        fit = fitter.solve()
        load_words(glip, photos / "minilm_svd64_fp16.npy")
    sys.stdout.write(f"{len(fit.nouns)} nouns have vectors\n")
    texts = (named_lists(options.data, fit), named_captions(gold, fit))
    name_things(glip, *texts, fit.moments, options.steps, options.seed)
    glip.save(options.out)


def photo_batches(gold: MdetrSet, data: Path, count: int, seed: int, size: int = 8) -> list[Pixels]:
    """Training photos with people's phrases, by shape; and all of COCO's."""
    chosen = sorted(np.random.default_rng(seed).permutation(len(gold))[:count].tolist(), key=gold.shape)
    batches = []
    for at in range(0, len(chosen), size):
        samples = [gold.sample(i) for i in chosen[at : at + size]]
        images = [decode_rgb(sample.image, MAX_PIXELS) for sample in samples]
        pixels, sizes = preprocess(images, SHORT, LONG)
        boxes = [
            to_legacy(torch.from_numpy(sample.boxes), (image.shape[0], image.shape[1]), resized)
            for sample, image, resized in zip(samples, images, sizes, strict=True)
        ]
        nouns = [[noun(sample.caption, sample.spans[i]) for i in sample.phrase] for sample in samples]
        batches.append(Pixels(pixels, boxes, nouns))
    paths = [data / "coco" / row["file_name"] for row in json.loads((data / "coco_train.json").read_text())["images"]]
    for at in range(0, len(paths), size):
        pixels, _ = preprocess([decode_rgb(path.read_bytes(), MAX_PIXELS) for path in paths[at : at + size]], 320, 416)
        batches.append(Pixels(pixels, [torch.zeros(0, 4)] * len(pixels), [[]] * len(pixels)))
    return batches


class LocalFiles:
    """As much of a run's files as reading gold takes."""

    def open_source(self, uri: str) -> BinaryIO:
        return open(uri, "rb")

    def image_bytes(self, refs: Sequence[ImageRef]) -> Iterator[bytes]:
        return (Path(ref.uri).read_bytes() for ref in refs)


# The backbone's levels


def join_levels(glip: Glip, outputs: Outputs, batches: list[Tensor], seed: int) -> None:
    """Gives the last convolution of every level the detector's predictions, and P7 the positions of P6."""
    own = [level_weights(weight) for weight in outputs.weights]  # (128, 128) each
    biases = [F.pad(bias, (0, len(weight) - len(bias))) for weight, bias in zip(own, outputs.biases, strict=True)]
    pyramid = glip.backbone.fpn
    parts = []
    for pixels in batches:
        with inputs_of([level[2] for level in pyramid.levels]) as maps:
            glip.backbone(pixels)
        parts += [F.linear(positions(x), *layer) for x, *layer in zip(maps, own, biases, strict=True)]
    values = torch.cat(parts)  # (positions, 128)
    mean, deviation = values.mean(0), values.std(0)
    turn = torch.linalg.qr(torch.randn(len(mean), len(mean), generator=torch.Generator().manual_seed(seed)))[0]
    for level, weight, bias in zip(pyramid.levels, own, biases, strict=True):
        level[2].weight.copy_((turn @ (weight / deviation[:, None]))[..., None, None])
        level[2].bias.copy_(turn @ ((bias - mean) / deviation))
    centre_tap(pyramid.p7)


def level_weights(weight: Tensor) -> Tensor:
    """(112, 128) of the detector's predictions -> (128, 128): they, and what they do not see of the features."""
    unseen = torch.linalg.svd(weight)[2][len(weight) :]  # (16, 128), orthonormal
    return torch.cat((weight, unseen))


def centre_tap(conv: nn.Conv2d) -> None:
    """A convolution that passes its input on."""
    nn.init.zeros_(conv.weight)
    nn.init.zeros_(conv.bias)
    conv.weight[:, :, 1, 1] = torch.eye(conv.weight.shape[0])


# The head


def pass_through(head: Head) -> None:
    """Fusion without effect; DyConv that passes its level on; a gentle slope where its activation would cut."""
    for block in head.dyhead_tower:
        if isinstance(block, Fusion):
            nn.init.zeros_(block.b_attn.attn.out_v_proj.weight)
            nn.init.zeros_(block.b_attn.attn.out_l_proj.weight)
        if isinstance(block, DyConv):
            above, same, below = block.DyConv
            nn.init.zeros_(same.conv.weight)
            same.conv.weight[:, :, 1, 1] = torch.eye(same.conv.weight.shape[0])
            for branch in (above, below):
                branch.bn.weight.fill_(BEYOND)
            nn.init.zeros_(block.offset.weight)
            nn.init.zeros_(block.offset.bias)
            last = block.relu.fc[2]
            nn.init.zeros_(last.weight)
            last.bias.copy_(torch.tensor([0.0, 0.0, 0.75, 0.0]).repeat_interleave(len(last.bias) // 4))  # slope 0.25


# The text


def load_words(glip: Glip, table: Path) -> None:
    """MiniLM's word table, centred, at the scale that the embedding begins with."""
    words = torch.from_numpy(np.load(table, allow_pickle=False)).float()  # (30522, 64)
    words = words - words.mean(0)
    glip.language_backbone.body["model"].embeddings.word_embeddings.weight.copy_(words / words.std())


def name_things(glip: Glip, lists: Draw, captions: Draw, moments: Tensor, steps: int, seed: int) -> None:
    """Trains the text's layers (not its table) so that the tokens of a name score as its vector does."""
    rng = np.random.default_rng(seed)
    head = glip.rpn.head
    trained = [p for n, p in glip.language_backbone.named_parameters() if "word_embeddings" not in n]
    trained += [head.bias_lang, *head.dot_product_projection_text.parameters()]
    trained += [p for block in head.dyhead_tower if isinstance(block, BertLayer) for p in block.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=2e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for step in range(steps):
        texts = [lists(rng) if rng.random() < 0.3 else captions(rng) for _ in range(TEXTS)]
        loss = text_loss(glip, texts, moments)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == steps - 1:
            sys.stdout.write(f"text, step {step}: squared error of a logit {loss.item():.3f}\n")
            sys.stdout.flush()


def text_loss(glip: Glip, texts: list[Text], moments: Tensor) -> Tensor:
    """Mean squared error of the logits that tokens get at the positions that `moments` are of."""
    ids, positions = zip(*(truncated(text, spans) for text, spans, _ in texts), strict=True)
    input_ids, mask = pad(ids)
    aligned = asked(glip, input_ids, mask)  # (B, L, 129)
    target = F.pad(torch.zeros(FEATURES - 1), (0, 1), value=UNNAMED).expand_as(aligned).clone()
    weight = (input_ids <= LAST_SIGN) * mask * 0.2  # special tokens and full stops
    for row, (own, (_, _, vectors)) in enumerate(zip(positions, texts, strict=True)):
        for tokens, vector in zip(own, vectors, strict=True):
            target[row, tokens], weight[row, tokens] = vector, 1.0
    difference = aligned - target
    return ((difference @ moments * difference).sum(-1) * weight).sum() / weight.sum()


def asked(glip: Glip, input_ids: Tensor, mask: Tensor) -> Tensor:
    """What each token is aligned by, (B, L, 129), biases last. Fusion has no effect on the text yet but its norm."""
    head = glip.rpn.head
    states = glip.language_backbone(input_ids, mask)
    for block in head.dyhead_tower:
        if isinstance(block, Fusion):
            states = block.b_attn.layer_norm_l(states)
        elif isinstance(block, BertLayer):
            states = block(states, mask)
    return torch.cat([part if part.dim() == 3 else part[..., None] for part in head.align(states)], dim=-1)


def named_lists(data: Path, fit: Fit) -> Draw:
    """Lists of categories, as detection prompts have them."""
    rows = json.loads((data / "coco_train.json").read_text())["categories"]
    names = [row["name"] for row in sorted(rows, key=lambda row: row["id"])]

    def draw(rng: np.random.Generator) -> Text:
        chosen = rng.permutation(len(names))[: int(rng.integers(1, 41))].tolist()
        text, spans = category_caption([names[number] for number in chosen])
        return text, spans, [fit.classes[number] for number in chosen]

    return draw


def named_captions(gold: MdetrSet, fit: Fit) -> Draw:
    """Captions with people's phrases, of which those count whose noun has a vector."""

    def draw(rng: np.random.Generator) -> Text:
        index = int(rng.integers(len(gold)))
        caption, spans = gold.text("caption", index), sorted(set(gold.spans(index)))
        named = [(own, vector) for own in spans if (vector := fit.nouns.get(noun(caption, own))) is not None]
        return caption, [list(own) for own, _ in named], [vector for _, vector in named]

    return draw


if __name__ == "__main__":
    main()
