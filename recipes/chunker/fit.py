"""Trains the network of stages/phrases/network.py in torch on captions with spans, and writes its weights.

    python -m recipes.chunker.fit --silver /tmp/silver.jsonl --vectors /tmp/vectors.npz \
        --captions conceptual_captions_val.tsv flickr8k_20k.tsv --out /tmp/weights.npz

Trains on the captions that silver.py labelled, on those that we annotated (annotated.txt, real.tsv), on web-like
versions of both (augment.py) and on made-up ones (templates.py); with --teachers also on what other weights say.
One thread; the result is the same for the same data, seed and versions.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recipes.chunker.augment import join, line_of, row_of, websome
from recipes.chunker.brackets import parse
from recipes.chunker.captions import tokens_of
from recipes.chunker.patterns import made_up
from recipes.chunker.real import measured_captions, train_rows
from recipes.chunker.refine import average
from recipes.chunker.templates import phrase_bank
from stages.phrases.distilled import Distilled
from stages.phrases.features import PAD_ROW, ROWS
from stages.phrases.language import KNOWN_BITS, word_hash
from stages.phrases.network import GAP
from stages.phrases.tokens import Kind
from stages.phrases.vocabulary import Vocabulary

ANNOTATED = Path(__file__).with_name("annotated.txt")
OUTSIDE, BEGIN, INSIDE = 0, 1, 2
REACH = (5, 3, 3)  # tokens that each layer reads
BLOCK = 500  # captions tokenized at once
TAUGHT = 0.5  # how far a taught chunker follows its teachers instead of the labels
PLAIN, CHANGED = 4.0, 3  # what an annotated caption weighs as it is, and how many web-like versions it gets


class Chunker(nn.Module):
    """The network, and a second output for part-of-speech tags that only helps training."""

    def __init__(self, dim: int, hidden: int, tags: int, width: int) -> None:
        super().__init__()
        self.features = nn.EmbeddingBag(ROWS, dim, mode="sum", padding_idx=PAD_ROW, sparse=True)
        nn.init.normal_(self.features.weight, std=0.3)
        with torch.no_grad():
            self.features.weight[PAD_ROW] = 0.0
        self.project = nn.Linear(width, dim, bias=False)  # word vectors into the same space
        sizes = (dim, hidden, hidden)
        self.layers = nn.ModuleList(nn.Linear(reach * size, hidden) for reach, size in zip(REACH, sizes, strict=True))
        self.out = nn.Linear(hidden, 3)
        self.tag = nn.Linear(hidden, max(1, tags))

    def forward(self, rows: Tensor, vectors: Tensor, inside: Tensor, dropout: float) -> tuple[Tensor, Tensor]:
        """rows (T, MAX_ROWS), vectors (T, V), inside (T,) 0 at gaps -> scores (T, 3), tag scores (T, tags)."""
        x = self.features(rows) + self.project(vectors)  # (T, D)
        x = F.dropout(x, dropout, self.training)
        inside = inside[:, None]
        h = F.relu(self.layers[0](neighbours(x, REACH[0], 1))) * inside  # (T, H)
        for layer, reach, spread in zip(self.layers[1:], REACH[1:], (1, 2), strict=True):
            h = (h + F.relu(layer(neighbours(h, reach, spread)))) * inside
        h = F.dropout(h, dropout, self.training)
        return self.out(h), self.tag(h)


def neighbours(x: Tensor, count: int, spread: int) -> Tensor:
    """Each row beside those before and behind it: (T, D) -> (T, count * D)."""
    reach = count // 2 * spread
    padded = F.pad(x, (0, 0, reach, reach))
    return torch.cat([padded[i * spread : i * spread + len(x)] for i in range(count)], dim=1)


class Data:
    """Captions as arrays of token types, target probabilities, tags and weights, one after the other."""

    def __init__(
        self, rows: list[dict], vocabulary: Vocabulary, tags: dict[str, int], teachers: list[Distilled]
    ) -> None:
        self.types, self.targets, self.tags, self.weights = [], [], [], []
        for at in range(0, len(rows), BLOCK):
            block = rows[at : at + BLOCK]
            tokens = vocabulary.tokens([row["caption"] for row in block])
            soft = average(teachers, [row["caption"] for row in block])[1] if teachers else None
            edges = np.searchsorted(tokens.caption, np.arange(len(block) + 1))
            for row, lo, hi in zip(block, edges[:-1], edges[1:], strict=True):
                self.types.append(tokens.type[lo:hi])
                labels = labels_of(row["spans"], tokens.start[lo:hi], tokens.end[lo:hi])
                found = row.get("tags") or []
                known = len(found) == hi - lo
                self.tags.append(np.array([tags.get(t, -1) for t in found] if known else [-1] * (hi - lo), np.int64))
                weights = np.full(hi - lo, float(row.get("weight", 1.0)), np.float32)
                unsure = np.zeros(hi - lo, bool)
                for a, b in row.get("unsure") or []:
                    unsure |= (tokens.start[lo:hi] >= a) & (tokens.end[lo:hi] <= b)
                hard = np.eye(3, dtype=np.float32)[labels]
                if soft is None:
                    weights[unsure] = 0.0
                    self.targets.append(hard)
                else:
                    trust = np.where(unsure, 1.0, 0.3 if row.get("own") else TAUGHT)[:, None].astype(np.float32)
                    self.targets.append(trust * soft[lo:hi] + (1 - trust) * hard)
                self.weights.append(weights)

    def batch(self, chosen: np.ndarray) -> tuple[Tensor, ...]:
        """types (T,), targets (T, 3), tags (T,), weights (T,); types are -1 at gaps."""
        types, tags = [np.full(GAP, -1)], [np.full(GAP, -1)]
        targets, weights = [np.zeros((GAP, 3), np.float32)], [np.zeros(GAP, np.float32)]
        for i in chosen:
            types += [self.types[i], types[0]]
            targets += [self.targets[i], targets[0]]
            tags += [self.tags[i], tags[0]]
            weights += [self.weights[i], weights[0]]
        return tuple(torch.from_numpy(np.concatenate(part)) for part in (types, targets, tags, weights))


def labels_of(spans: list[list[int]], start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """O, B, I per token."""
    labels = np.zeros(len(start), np.int64)
    for lo, hi in spans:
        inside = np.flatnonzero((start >= lo) & (end <= hi))
        if len(inside):
            labels[inside] = INSIDE
            labels[inside[0]] = BEGIN
    return labels


def fit(
    rows: list[dict],
    vectors: np.ndarray,
    teachers: list[Distilled],
    *,
    dim: int,
    hidden: int,
    epochs: int,
    batch: int = 48,
    rate: float = 2e-3,
    seed: int = 0,
) -> Chunker:
    """vectors (ROWS, V): of the rows that stand for words, zero elsewhere."""
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    vocabulary = Vocabulary(np.zeros(KNOWN_BITS, bool), remember=1 << 30)
    names = sorted({tag for row in rows for tag in row.get("tags") or []})
    data = Data(rows, vocabulary, {name: i for i, name in enumerate(names)}, teachers)
    table = torch.from_numpy(vocabulary.rows.astype(np.int64))
    meanings = torch.from_numpy(vectors[vocabulary.rows].sum(1))  # (types, V)
    model = Chunker(dim, hidden, len(names), vectors.shape[1])
    sparse = torch.optim.Adagrad([model.features.weight], lr=0.05)
    dense = torch.optim.AdamW(
        [p for n, p in model.named_parameters() if n != "features.weight"], lr=rate, weight_decay=1e-3
    )
    steps = epochs * (len(data.types) // batch)
    step = 0
    for epoch in range(epochs):
        order = generator.permutation(len(data.types))
        total = count = 0.0
        for at in range(0, len(order) - batch + 1, batch):
            types, targets, tags, weight = data.batch(order[at : at + batch])
            inside = types >= 0
            ids, meaning = table[types.clamp(min=0)], meanings[types.clamp(min=0)]
            draw = torch.rand(len(ids))  # read some words by meaning and affixes alone, and some by affixes alone
            ids[draw < 0.25, 0] = PAD_ROW
            meaning = meaning * ((draw > 0.1) & inside)[:, None]
            scores, tag_scores = model(ids, meaning, inside.float(), 0.1)
            each = F.cross_entropy(scores, targets * 0.98 + 0.02 / 3, reduction="none") * weight
            loss = each.sum() / weight.sum()
            if (tags >= 0).any():
                loss = loss + 0.3 * F.cross_entropy(tag_scores, tags, ignore_index=-1)
            scale = min(1.0, (step + 1) / 200) * max(0.02, 1 - step / steps)
            for group, full in ((dense.param_groups[0], rate), (sparse.param_groups[0], 0.05)):
                group["lr"] = full * scale
            dense.zero_grad()
            sparse.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(dense.param_groups[0]["params"], 1.0)
            dense.step()
            sparse.step()
            step += 1
            total += float(loss.detach())
            count += 1
        sys.stderr.write(f"epoch {epoch + 1} loss {total / count:.4f}\n")
    fold(model, vectors, vocabulary.rows)
    return model


def fold(model: Chunker, vectors: np.ndarray, seen: np.ndarray) -> None:
    """Puts the projected vectors (ROWS, V) into the feature table; rows that are not among `seen` hold nothing else."""
    unseen = torch.ones(ROWS, dtype=torch.bool)
    unseen[torch.from_numpy(seen.reshape(-1).astype(np.int64))] = False
    with torch.no_grad():
        model.features.weight[unseen] = 0.0  # they were never trained: noise
        model.features.weight += model.project(torch.from_numpy(vectors))


def row_vectors(path: Path) -> np.ndarray:
    """What vectors.py wrote, as an array over all rows, (ROWS, V)."""
    with np.load(path, allow_pickle=False) as data:
        vectors = np.zeros((ROWS, data["vectors"].shape[1]), np.float32)
        vectors[data["rows"]] = data["vectors"]
    return vectors


def known_words(rows: list[dict]) -> np.ndarray:
    """Bits at the hashes of the words that these captions use at least twice, or once without capital or digit."""
    counts = Counter(token.form for row in rows for token in tokens_of(row["caption"]) if token.kind == Kind.WORD)
    bits = np.zeros(KNOWN_BITS, bool)
    for form, count in counts.items():
        if count > 1 or form.isalpha():
            bits[word_hash(form)] = True
    return np.packbits(bits)


def export(model: Chunker, known: np.ndarray, path: Path) -> None:
    """Weights for numpy: features in 8 bits with one scale per row, the rest in 16-bit floats; no pickle."""
    table = model.features.weight.detach().numpy()
    scale = np.maximum(np.abs(table).max(axis=1), 1e-8) / 127.0
    arrays = {
        "known": known,
        "features": np.round(table / scale[:, None]).astype(np.int8),
        "scale": scale.astype(np.float32),
    }
    for i, layer in enumerate(model.layers, 1):
        weight = layer.weight.detach().T.unflatten(0, (REACH[i - 1], -1))  # (k, D, H)
        arrays[f"w{i}"] = weight.contiguous().numpy().astype(np.float16)
        arrays[f"b{i}"] = layer.bias.detach().numpy().astype(np.float32)
    arrays["w4"] = model.out.weight.detach().T.contiguous().numpy().astype(np.float16)
    arrays["b4"] = model.out.bias.detach().numpy().astype(np.float32)
    np.savez_compressed(path, **arrays)


def training_rows(silver: list[dict], annotated: list[dict], seed: int) -> list[dict]:
    """Both sources as they are, and web-like versions of them; annotated captions count more often."""
    rng = random.Random(seed)
    rows = list(silver)
    lines = [line_of(row) for row in silver]
    for line in lines:
        if rng.random() < 0.5:
            rows.append(row_of(websome(line, rng), 0.7))
        if rng.random() < 0.05:
            rows.append(row_of(join(line, websome(rng.choice(lines), rng), rng), 0.7))
    bank = phrase_bank(lines)
    rows += [row_of(made_up(bank, rng), 0.7) for _ in range(len(silver) // 2)]
    own = [line_of(row) for row in annotated]
    for line in own:
        made = [row_of(line, PLAIN / 2)] * 2 + [row_of(websome(line, rng)) for _ in range(CHANGED)]
        rows += [{**row, "own": True} for row in made]
    return rows


def read_annotated(path: Path) -> list[dict]:
    found = [parse(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    return [{"caption": caption, "spans": [[a, b] for a, b, _ in spans]} for caption, spans in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--silver", type=Path, required=True)
    parser.add_argument("--captions", type=Path, nargs="+", required=True, help="the files that real.tsv speaks of")
    parser.add_argument(
        "--without", type=Path, help="JSON lines with captions to leave out: what quality is measured on"
    )
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--teachers", type=Path, nargs="*", default=[], help="weights whose probabilities teach, too")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--hidden", type=int, default=160)
    args = parser.parse_args()
    torch.set_num_threads(1)
    silver = [json.loads(line) for line in args.silver.read_text(encoding="utf-8").splitlines()]
    annotated = [*read_annotated(ANNOTATED), *train_rows(args.captions, measured_captions(args.without))]
    rows = training_rows(silver, annotated, args.seed)
    vectors, teachers = row_vectors(args.vectors), [Distilled(path) for path in args.teachers]
    model = fit(rows, vectors, teachers, dim=args.dim, hidden=args.hidden, epochs=args.epochs, seed=args.seed)
    export(model, known_words(silver), args.out)


if __name__ == "__main__":
    main()
