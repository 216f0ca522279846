"""Trains the network of stages/chunking/network.py in torch on captions with spans, and writes its weights.

    python benchmarks/chunker/fit.py --silver /tmp/silver.jsonl --out stages/chunking/weights.npz

Trains on the captions that silver.py labelled, on the ones of annotated.txt, and on web-like versions of both
(augment.py). One thread; the result is the same for the same data, seed and versions.
"""

# ruff: noqa: E402  (the repository's root is put on the path, or threads are set, before the imports)

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

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]
from augment import join, line_of, row_of, websome
from brackets import parse
from silver import tokens_of
from templates import made_up, phrase_bank

from stages.chunking.features import PAD_ROW, ROWS
from stages.chunking.language import KNOWN_BITS, word_hash
from stages.chunking.network import GAP
from stages.chunking.tokens import Kind
from stages.chunking.vocabulary import Vocabulary

OUTSIDE, BEGIN, INSIDE = 0, 1, 2
BLOCK = 500  # captions tokenized at once
PLAIN, CHANGED = 6, 4  # how often an annotated caption counts as it is, and how many web-like versions it gets


class Chunker(nn.Module):
    """The network, and a second output for part-of-speech tags that only helps training."""

    def __init__(self, dim: int, hidden: int, tags: int) -> None:
        super().__init__()
        self.features = nn.Embedding(ROWS, dim, padding_idx=PAD_ROW, sparse=True)
        nn.init.normal_(self.features.weight, std=0.3)
        with torch.no_grad():
            self.features.weight[PAD_ROW] = 0.0
        self.convs = nn.ModuleList(
            [
                nn.Conv1d(dim, hidden, 5, padding=2),
                nn.Conv1d(hidden, hidden, 3, padding=1),
                nn.Conv1d(hidden, hidden, 3, padding=2, dilation=2),
            ]
        )
        self.out = nn.Linear(hidden, 3)
        self.tag = nn.Linear(hidden, max(1, tags))

    def forward(self, rows: Tensor, inside: Tensor, dropout: float) -> tuple[Tensor, Tensor]:
        """rows (T, MAX_ROWS), inside (T,) 0 at gaps -> scores (T, 3), tag scores (T, tags)."""
        x = self.features(rows).sum(1)  # (T, D)
        x = F.dropout(x, dropout, self.training)
        mask = inside[None, None]  # (1, 1, T)
        h = F.relu(self.convs[0](x.T[None])) * mask  # (1, H, T)
        for conv in self.convs[1:]:
            h = (h + F.relu(conv(F.dropout(h, dropout, self.training)))) * mask
        h = F.dropout(h[0].T, dropout, self.training)  # (T, H)
        return self.out(h), self.tag(h)


class Data:
    """Captions as arrays of token types, labels, tags and weights, one after the other."""

    def __init__(self, rows: list[dict], vocabulary: Vocabulary, tags: dict[str, int]) -> None:
        self.types, self.labels, self.tags, self.weights = [], [], [], []
        for at in range(0, len(rows), BLOCK):
            block = rows[at : at + BLOCK]
            tokens = vocabulary.tokens([row["caption"] for row in block])
            edges = np.searchsorted(tokens.caption, np.arange(len(block) + 1))
            for row, lo, hi in zip(block, edges[:-1], edges[1:], strict=True):
                self.types.append(tokens.type[lo:hi])
                self.labels.append(labels_of(row["spans"], tokens.start[lo:hi], tokens.end[lo:hi]))
                found = row.get("tags") or []
                known = len(found) == hi - lo
                self.tags.append(np.array([tags.get(t, -1) for t in found] if known else [-1] * (hi - lo), np.int64))
                weights = np.full(hi - lo, float(row.get("weight", 1.0)))
                for a, b in row.get("unsure") or []:
                    weights[(tokens.start[lo:hi] >= a) & (tokens.end[lo:hi] <= b)] = 0.0
                self.weights.append(weights)

    def batch(self, chosen: np.ndarray) -> tuple[np.ndarray, ...]:
        """types, labels (-1 at gaps), tags, weights, each (T,)."""
        parts: tuple[list, ...] = ([np.zeros(GAP, np.int32)], [np.full(GAP, -1)], [np.full(GAP, -1)], [np.zeros(GAP)])
        for i in chosen:
            for part, value, gap in zip(
                parts,
                (self.types[i], self.labels[i], self.tags[i], self.weights[i]),
                (0, -1, -1, 0),
                strict=True,
            ):
                part += [value, np.full(GAP, gap, value.dtype)]
        return tuple(np.concatenate(part) for part in parts)


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
    *,
    dim: int = 64,
    hidden: int = 96,
    epochs: int = 8,
    batch: int = 64,
    rate: float = 2e-3,
    seed: int = 0,
) -> Chunker:
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    vocabulary = Vocabulary(np.zeros(KNOWN_BITS, bool), remember=1 << 30)
    names = sorted({tag for row in rows for tag in row.get("tags") or []})
    data = Data(rows, vocabulary, {name: i for i, name in enumerate(names)})
    table = torch.from_numpy(vocabulary.rows.astype(np.int64))
    model = Chunker(dim, hidden, len(names))
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
            types, labels, tags, weights = data.batch(order[at : at + batch])
            ids = table[torch.from_numpy(types).long()]
            hide = torch.rand(len(ids)) < 0.2  # read some words by their affixes alone, as rare ones must be
            ids[hide, 0] = PAD_ROW
            gold = torch.from_numpy(labels)
            weight = torch.from_numpy(weights).float()
            scores, tag_scores = model(ids, (gold >= 0).float(), 0.1)
            each = F.cross_entropy(scores, gold.clamp(min=0), reduction="none", label_smoothing=0.02) * weight
            loss = each.sum() / weight.sum()
            if (torch.from_numpy(tags) >= 0).any():
                loss = loss + 0.3 * F.cross_entropy(tag_scores, torch.from_numpy(tags), ignore_index=-1)
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
    return model


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
    for i, conv in enumerate(model.convs, 1):
        arrays[f"w{i}"] = conv.weight.detach().permute(2, 1, 0).contiguous().numpy().astype(np.float16)  # (k, D, H)
        arrays[f"b{i}"] = conv.bias.detach().numpy().astype(np.float32)
    arrays["w4"] = model.out.weight.detach().T.contiguous().numpy().astype(np.float16)
    arrays["b4"] = model.out.bias.detach().numpy().astype(np.float32)
    np.savez_compressed(path, **arrays)


def training_rows(silver: list[dict], annotated: list[dict], seed: int) -> list[dict]:
    """Both sources as they are, and web-like versions of them; annotated captions count more often."""
    rng = random.Random(seed)
    rows = list(silver)
    lines = [line_of(row) for row in silver]
    for line in lines:
        if rng.random() < 0.7:
            rows.append(row_of(websome(line, rng), 0.7))
        if rng.random() < 0.05:
            rows.append(row_of(join(line, websome(rng.choice(lines), rng), rng), 0.7))
    bank = phrase_bank(lines)
    rows += [row_of(made_up(bank, rng), 0.7) for _ in range(len(silver) // 3)]
    own = [line_of(row) for row in annotated]
    for line in own:
        rows += [row_of(line)] * PLAIN + [row_of(websome(line, rng)) for _ in range(CHANGED)]
    return rows


def read_annotated(path: Path) -> list[dict]:
    found = [parse(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    return [{"caption": caption, "spans": [[a, b] for a, b, _ in spans]} for caption, spans in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--silver", type=Path, required=True)
    parser.add_argument("--annotated", type=Path, default=HERE / "annotated.txt")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--hidden", type=int, default=96)
    args = parser.parse_args()
    torch.set_num_threads(1)
    silver = [json.loads(line) for line in args.silver.read_text(encoding="utf-8").splitlines()]
    rows = training_rows(silver, read_annotated(args.annotated), args.seed)
    model = fit(rows, dim=args.dim, hidden=args.hidden, epochs=args.epochs, seed=args.seed)
    export(model, known_words(silver), args.out)


if __name__ == "__main__":
    main()
