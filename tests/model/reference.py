"""GLIP's forward pass once more, in plain numpy and float64: slow, literal, and sharing nothing with `model/`.

It reads weights by their official names. `python tests/model/reference.py` writes recorded/tiny.npz, the numbers that a
lone clone is tested against; `test_reference.py` compares both the model and this file with them.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np

RECORDED = Path(__file__).parent / "recorded" / "tiny.npz"
TINY = {
    "width": 24,
    "depths": (1, 2, 1, 1),
    "heads": (1, 2, 4, 8),
    "window": 3,
    "hidden": 32,
    "layers": 2,
    "text_heads": 2,
    "intermediate": 48,
    "positions": 16,
    "vocabulary": 50,
    "fusion_width": 40,
    "fusion_heads": 4,
    "tower": 2,
    "channels": 32,
}
KINDS = ("token_logits", "box_regression", "centerness")

Array = np.ndarray
State = dict[str, Array]


def made_up(name: str, shape: tuple[int, ...]) -> Array:
    """A weight that follows from its name and shape, of a size that keeps signals distinct."""
    noise = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape)
    if ("norm" in name.lower() and name.endswith("weight")) or name.endswith((".bn.weight", ".scale")):
        return 1 + 0.1 * noise
    if name.endswith((".offset.weight", ".offset.bias")):
        return 0.1 * noise
    if name.endswith(("gamma_v", "gamma_l")):
        return 0.3 + 0.1 * noise
    if name.endswith("bias0"):
        return -2.6 + 0.1 * noise
    if len(shape) < 2 or "bias" in name:
        return 0.1 * noise
    return noise / math.sqrt(np.prod(shape[1:]))


def inputs() -> tuple[Array, Array, Array]:
    """Pixels (2, 3, 64, 96), the second image smaller than its padding; token ids and mask (2, 9)."""
    random = np.random.default_rng(7)
    pixels = random.standard_normal((2, 3, 64, 96))
    pixels[1, :, 50:] = 0
    pixels[1, :, :, 80:] = 0
    ids = random.integers(1, TINY["vocabulary"], (2, 9))
    mask = np.ones((2, 9), dtype=np.int64)
    ids[1, 6:], mask[1, 6:] = 0, 0
    return pixels, ids, mask


def forward(state: State, pixels: Array, ids: Array, mask: Array, fused: bool) -> dict[str, Array]:
    """`KINDS`_P3.._P7 of a batch. Images do not meet each other, so they go one by one."""
    each = [one_image(state, *own, fused) for own in zip(pixels, ids, mask, strict=True)]
    return {name: np.stack([one[name] for one in each]) for name in each[0]}


def one_image(state: State, pixels: Array, ids: Array, mask: Array, fused: bool) -> dict[str, Array]:
    maps = pyramid(state, swin(state, pixels))
    words = bert(state, ids, mask)
    head = "rpn.head."
    for block in range(TINY["tower"]):
        tower = head + "dyhead_tower."
        if fused:
            maps, words = fuse(state, f"{tower}{3 * block}.b_attn.", maps, words, mask)
            words = bert_layer(state, f"{tower}{3 * block + 1}.", words, mask)
        maps = dyconv(state, f"{tower}{3 * block + 2 if fused else block}.", maps)
    if not fused:
        words = words * mask[:, None]
    unit = words / np.maximum(np.sqrt((words**2).sum(1, keepdims=True)), 1e-12)
    token = linear(state, head + "dot_product_projection_text", unit / 2) / np.exp(state[head + "log_scale"])
    bias = unit @ state[head + "bias_lang"] + state[head + "bias0"]
    found = {}
    for level, x in enumerate(maps):
        positions = x.reshape(len(x), -1).T
        found[f"token_logits_P{level + 3}"] = positions @ token.T + bias
        boxes = conv(state, head + "bbox_pred", x)
        found[f"box_regression_P{level + 3}"] = boxes * state[f"{head}scales.{level}.scale"]
        found[f"centerness_P{level + 3}"] = conv(state, head + "centerness", x)
    return found


# Pieces: maps are (C, H, W), sequences (length, C)


def linear(state: State, name: str, x: Array) -> Array:
    return x @ state[name + ".weight"].T + state.get(name + ".bias", 0)


def layer_norm(state: State, name: str, x: Array, eps: float = 1e-5) -> Array:
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + eps) * state[name + ".weight"] + state[name + ".bias"]


def softmax(x: Array, axis: int) -> Array:
    power = np.exp(x - x.max(axis, keepdims=True))
    return power / power.sum(axis, keepdims=True)


def gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def hard_sigmoid(x: Array) -> Array:
    return np.clip(x + 3, 0, 6) / 6


def conv(state: State, name: str, x: Array, stride: int = 1) -> Array:
    weight = state[name + ".weight"]
    size = weight.shape[-1]
    edge = size // 2 if size % 2 else 0
    x = np.pad(x, ((0, 0), (edge, edge), (edge, edge)))
    rows, columns = (x.shape[1] - size) // stride + 1, (x.shape[2] - size) // stride + 1
    out = np.zeros((len(weight), rows, columns))
    for i in range(rows):
        for j in range(columns):
            patch = x[:, i * stride : i * stride + size, j * stride : j * stride + size]
            out[:, i, j] = np.tensordot(weight, patch, 3)
    return out + state[name + ".bias"][:, None, None]


# Swin: attention over all positions at once, with everything outside the window masked


def swin(state: State, pixels: Array) -> list[Array]:
    name = "backbone.body."
    x = conv(state, name + "patch_embed.proj", pixels, stride=4).transpose(1, 2, 0)  # (H, W, C)
    x = layer_norm(state, name + "patch_embed.norm", x)
    outputs = []
    for stage, depth in enumerate(TINY["depths"]):
        for block in range(depth):
            x = swin_block(state, f"{name}layers.{stage}.blocks.{block}.", x, TINY["heads"][stage], shifted=block % 2)
        if stage:
            outputs.append(layer_norm(state, f"{name}norm{stage}", x).transpose(2, 0, 1))
        if stage < 3:
            x = np.pad(x, ((0, x.shape[0] % 2), (0, x.shape[1] % 2), (0, 0)))
            x = np.concatenate([x[0::2, 0::2], x[1::2, 0::2], x[0::2, 1::2], x[1::2, 1::2]], axis=-1)
            merge = f"{name}layers.{stage}.downsample."
            x = linear(state, merge + "reduction", layer_norm(state, merge + "norm", x))
    return outputs


def swin_block(state: State, name: str, x: Array, heads: int, shifted: int) -> Array:
    height, width, channels = x.shape
    window = TINY["window"]
    y = np.pad(layer_norm(state, name + "norm1", x), ((0, -height % window), (0, -width % window), (0, 0)))
    rows, columns = y.shape[:2]
    query, key, value = np.split(linear(state, name + "attn.qkv", y.reshape(-1, channels)), 3, axis=1)
    allowed = window_mask(rows, columns, window, window // 2 if shifted else 0)  # (heads or 1, positions, positions)
    table = state[name + "attn.relative_position_bias_table"]
    mixed = []
    for head, part in enumerate(np.split(np.arange(channels), heads)):
        logits = query[:, part] @ key[:, part].T / math.sqrt(channels // heads)
        logits = logits + allowed + table[relative_index(rows, columns, window, window // 2 if shifted else 0), head]
        mixed.append(softmax(logits, 1) @ value[:, part])
    y = linear(state, name + "attn.proj", np.concatenate(mixed, axis=1)).reshape(rows, columns, channels)
    x = x + y[:height, :width]
    y = gelu(linear(state, name + "mlp.fc1", layer_norm(state, name + "norm2", x)))
    return x + linear(state, name + "mlp.fc2", y)


def shifted_places(rows: int, columns: int, shift: int) -> Array:
    """(positions, 2) where each position lies after the cyclic shift up and left."""
    y, x = np.divmod(np.arange(rows * columns), columns)
    return np.stack([(y - shift) % rows, (x - shift) % columns], axis=1)


def window_mask(rows: int, columns: int, window: int, shift: int) -> Array:
    """(positions, positions): 0 within a window, -100 across a seam of the shift, -inf between windows."""
    place = shifted_places(rows, columns, shift)
    own = place // window
    mask = np.where((own[:, None] == own[None]).all(-1), 0.0, -np.inf)
    if shift:
        size = np.array([rows, columns])
        region = (place >= size - window).astype(int) + (place >= size - shift)
        mask = mask + np.where((region[:, None] == region[None]).all(-1), 0.0, -100.0)
    return mask


def relative_index(rows: int, columns: int, window: int, shift: int) -> Array:
    """(positions, positions) row of the bias table; arbitrary between positions of different windows."""
    place = shifted_places(rows, columns, shift)
    step = (place[:, None] - place[None]).clip(1 - window, window - 1) + window - 1
    return step[..., 0] * (2 * window - 1) + step[..., 1]


def pyramid(state: State, maps: list[Array]) -> list[Array]:
    name = "backbone.fpn."
    merged = conv(state, name + "fpn_inner4", maps[2])
    outputs = [conv(state, name + "fpn_layer4", merged)]
    for number in (3, 2):
        lateral = conv(state, f"{name}fpn_inner{number}", maps[number - 2])
        y = np.arange(lateral.shape[1]) * merged.shape[1] // lateral.shape[1]
        x = np.arange(lateral.shape[2]) * merged.shape[2] // lateral.shape[2]
        merged = lateral + merged[:, y][:, :, x]
        outputs.insert(0, conv(state, f"{name}fpn_layer{number}", merged))
    outputs.append(conv(state, name + "top_blocks.p6", outputs[2], stride=2))
    outputs.append(conv(state, name + "top_blocks.p7", np.maximum(outputs[3], 0), stride=2))
    return outputs


# BERT


def bert(state: State, ids: Array, mask: Array) -> Array:
    name = "language_backbone.body.model."
    tables = name + "embeddings."
    x = state[tables + "word_embeddings.weight"][ids]
    x = x + state[tables + "position_embeddings.weight"][: len(ids)] + state[tables + "token_type_embeddings.weight"][0]
    x = layer_norm(state, tables + "LayerNorm", x, 1e-12)
    for layer in range(TINY["layers"]):
        x = bert_layer(state, f"{name}encoder.layer.{layer}.", x, mask)
    return x


def bert_layer(state: State, name: str, x: Array, mask: Array) -> Array:
    query, key, value = (linear(state, f"{name}attention.self.{part}", x) for part in ("query", "key", "value"))
    mixed = []
    for part in np.split(np.arange(x.shape[1]), TINY["text_heads"]):
        logits = query[:, part] @ key[:, part].T / math.sqrt(len(part))
        mixed.append(softmax(np.where(mask, logits, -np.inf), 1) @ value[:, part])
    attended = linear(state, name + "attention.output.dense", np.concatenate(mixed, axis=1))
    x = layer_norm(state, name + "attention.output.LayerNorm", attended + x, 1e-12)
    wide = gelu(linear(state, name + "intermediate.dense", x))
    return layer_norm(state, name + "output.LayerNorm", linear(state, name + "output.dense", wide) + x, 1e-12)


# Fusion and DyHead


def fuse(state: State, name: str, maps: list[Array], words: Array, mask: Array) -> tuple[list[Array], Array]:
    visual = np.concatenate([x.reshape(len(x), -1).T for x in maps])
    visual, words = layer_norm(state, name + "layer_norm_v", visual), layer_norm(state, name + "layer_norm_l", words)
    attn = name + "attn."
    query, key = linear(state, attn + "v_proj", visual), linear(state, attn + "l_proj", words)
    value_v, value_l = linear(state, attn + "values_v_proj", visual), linear(state, attn + "values_l_proj", words)
    mixed_v, mixed_l = [], []
    for part in np.split(np.arange(TINY["fusion_width"]), TINY["fusion_heads"]):
        logits = query[:, part] @ key[:, part].T / math.sqrt(len(part))  # (positions, tokens)
        mixed_v.append(softmax(np.where(mask, logits, -np.inf), 1) @ value_l[:, part])
        mixed_l.append(softmax(logits, 0).T @ value_v[:, part])
    delta_v = linear(state, attn + "out_v_proj", np.concatenate(mixed_v, axis=1))
    delta_l = linear(state, attn + "out_l_proj", np.concatenate(mixed_l, axis=1))
    visual, words = visual + state[name + "gamma_v"] * delta_v, words + state[name + "gamma_l"] * delta_l
    fused, start = [], 0
    for x in maps:
        count = x[0].size
        fused.append(visual[start : start + count].T.reshape(x.shape))
        start += count
    return fused, words


def dyconv(state: State, name: str, maps: list[Array]) -> list[Array]:
    outputs = []
    for level, x in enumerate(maps):
        steering = conv(state, name + "offset", x)
        offset, mask = steering[:18], 1 / (1 + np.exp(-steering[18:]))
        branches = [branch(state, f"{name}DyConv.1", x, offset, mask, 1)]
        if level > 0:
            branches.append(branch(state, f"{name}DyConv.2", maps[level - 1], offset, mask, 2))
        if level < len(maps) - 1:
            above = maps[level + 1]
            small = above[0].size
            flat_offset = offset.ravel()[: 18 * small].reshape(18, *above.shape[1:])
            flat_mask = mask.ravel()[: 9 * small].reshape(9, *above.shape[1:])
            branches.append(
                upsample(branch(state, f"{name}DyConv.0", above, flat_offset, flat_mask, 1), x.shape[1], x.shape[2])
            )
        total = 0
        for one in branches:
            gate = state[name + "AttnConv.1.weight"].ravel() @ one.mean((1, 2)) + state[name + "AttnConv.1.bias"]
            total = total + one * hard_sigmoid(np.maximum(gate, 0))
        outputs.append(dyrelu(state, name + "relu.fc.", total / len(branches)))
    return outputs


def branch(state: State, name: str, x: Array, offset: Array, mask: Array, stride: int) -> Array:
    y = deform(state, name + ".conv", x, offset, mask, stride)
    grouped = y.reshape(16, -1)
    grouped = (grouped - grouped.mean(1, keepdims=True)) / np.sqrt(grouped.var(1, keepdims=True) + 1e-5)
    weight, bias = state[name + ".bn.weight"], state[name + ".bn.bias"]
    return grouped.reshape(y.shape) * weight[:, None, None] + bias[:, None, None]


def deform(state: State, name: str, x: Array, offset: Array, mask: Array, stride: int) -> Array:
    weight = state[name + ".weight"]
    rows, columns = mask.shape[1:]
    out = np.zeros((len(weight), rows, columns))
    for i in range(rows):
        for j in range(columns):
            for tap in range(9):
                y = i * stride - 1 + tap // 3 + offset[2 * tap, i, j]
                z = j * stride - 1 + tap % 3 + offset[2 * tap + 1, i, j]
                out[:, i, j] += weight[:, :, tap // 3, tap % 3] @ (bilinear(x, y, z) * mask[tap, i, j])
    return out + state[name + ".bias"][:, None, None]


def bilinear(x: Array, y: float, z: float) -> Array:
    """(C,) the map at a fractional place; zero outside."""
    value = np.zeros(len(x))
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(z), math.floor(z) + 1):
            if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                value += x[:, row, column] * (1 - abs(y - row)) * (1 - abs(z - column))
    return value


def upsample(x: Array, rows: int, columns: int) -> Array:
    """Bilinear with aligned corners."""
    step_y = (x.shape[1] - 1) / (rows - 1) if rows > 1 else 0.0
    step_x = (x.shape[2] - 1) / (columns - 1) if columns > 1 else 0.0
    return np.stack(
        [np.stack([bilinear(x, i * step_y, j * step_x) for j in range(columns)], axis=1) for i in range(rows)], axis=1
    )


def dyrelu(state: State, name: str, x: Array) -> Array:
    y = np.maximum(linear(state, name + "0", x.mean((1, 2))), 0)
    a1, b1, a2, b2 = np.split(hard_sigmoid(linear(state, name + "2", y)) - 0.5, 4)
    first = x * (2 * a1 + 1)[:, None, None] + b1[:, None, None]
    return np.maximum(first, x * (2 * a2)[:, None, None] + b2[:, None, None])


if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.model.test_reference import recorded_now  # the key layout comes from the model

    np.savez_compressed(RECORDED, **{name: value.astype(np.float32) for name, value in recorded_now().items()})
