"""The chunker's network in numpy: summed feature rows, three convolutions over neighbouring tokens, three scores each.

    x  = sum of the token's feature rows                              (T, D)
    h1 = relu(conv(x, 5 tokens))                                      (T, H)
    h2 = h1 + relu(conv(h1, 3 tokens))
    h3 = h2 + relu(conv(h2, 3 tokens, 2 apart))
    scores for O (outside), B (begins a phrase), I (goes on)          (T, 3)

Captions lie one after the other with GAP boundary rows before, between and behind them; these are set to zero after
each layer, so that no caption sees its neighbour. recipes/chunker/fit.py trains the same network in torch.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
GAP = 2  # widest reach of a layer to one side, in tokens
WEIGHTS = Path(__file__).parent / "weights.npz"


class Network:
    """The trained chunker. `features` (rows, D) is stored in 8 bits with one scale per row."""

    def __init__(self, path: Path = WEIGHTS) -> None:
        with np.load(path, allow_pickle=False) as data:
            self.features: Floats = data["features"].astype(np.float32) * data["scale"][:, None]
            self._layers = [(data[f"w{i}"].astype(np.float32), data[f"b{i}"].astype(np.float32)) for i in (1, 2, 3)]
            self.known = np.unpackbits(data["known"]).astype(bool)  # (KNOWN_BITS,) hashes of English words
            self._out = (data["w4"].astype(np.float32), data["b4"].astype(np.float32))

    def embed(self, rows: NDArray[np.int32]) -> Floats:
        """Sums of feature rows: (n, MAX_ROWS) -> (n, D)."""
        return np.asarray(self.features[rows].sum(axis=1))

    def scores(self, x: Floats, gaps: NDArray[np.int64]) -> Floats:
        """Scores of O, B, I: (T, D) -> (T, 3). `gaps` are the boundary rows; the first and last GAP rows are such."""
        hidden = _convolve(x, *self._layers[0], spread=1)
        hidden[gaps] = 0.0
        for (weight, bias), spread in zip(self._layers[1:], (1, 2), strict=True):
            hidden += _convolve(hidden, weight, bias, spread)
            hidden[gaps] = 0.0
        weight, bias = self._out
        return np.asarray(hidden @ weight + bias)


def _convolve(x: Floats, weight: Floats, bias: Floats, spread: int) -> Floats:
    """relu of a convolution over rows: x (T, D), weight (k, D, H) -> (T, H); the outermost rows, gaps, stay zero."""
    reach = (len(weight) // 2) * spread
    inner = len(x) - 2 * reach
    out = np.zeros((len(x), weight.shape[2]), np.float32)
    sums = out[reach : reach + inner]
    for i in range(len(weight)):
        sums += x[i * spread : i * spread + inner] @ weight[i]
    sums += bias
    np.maximum(sums, 0.0, out=sums)
    return out
