"""What is true of the places of two groups of objects: the words that may stand between their phrases."""

from stages.synthetic.layout import Placed

_BEHIND = ("behind", "partly hidden behind", "peeking out from behind")
_FRONT = ("in front of", "before")
_LEFT = ("to the left of", "on the left of", "left of")
_RIGHT = ("to the right of", "on the right of", "right of")
_ABOVE = ("above", "over")
_BELOW = ("below", "under", "beneath")
_BESIDE = ("next to", "beside", "by", "near", "close to", "alongside")

HIDDEN = 0.06  # the share of an object that another must hide to be in front of it
BESIDE_GAP = 30  # pixels


def true_relations(first: list[tuple[int, Placed]], second: list[tuple[int, Placed]]) -> list[tuple[str, ...]]:
    """Sets of words W such that "first W second" holds for every pair of their objects, given with their numbers."""
    pairs = [(a, b) for a in first for b in second]
    return [words for words, holds in _RULES if all(holds(a, b) for a, b in pairs)]


def _behind(a: tuple[int, Placed], b: tuple[int, Placed]) -> bool:
    return b[1].hides.get(a[0], 0.0) >= HIDDEN


def _left(a: tuple[int, Placed], b: tuple[int, Placed]) -> bool:
    dx, dy = _offset(a[1], b[1])
    return dx > abs(dy) and a[1].box[2] <= b[1].box[0] + 4


def _above(a: tuple[int, Placed], b: tuple[int, Placed]) -> bool:
    dx, dy = _offset(a[1], b[1])
    return dy > abs(dx) and a[1].box[3] <= b[1].box[1] + 4


def _beside(a: tuple[int, Placed], b: tuple[int, Placed]) -> bool:
    """Side by side: a small gap from left to right, much of the same height, neither hides the other."""
    one, two = a[1].box, b[1].box
    gap = max(one[0], two[0]) - min(one[2], two[2])
    level = min(one[3], two[3]) - max(one[1], two[1])
    return -8 <= gap <= BESIDE_GAP and level >= 0.3 * min(one[3] - one[1], two[3] - two[1])


def _offset(a: Placed, b: Placed) -> tuple[float, float]:
    """From the centre of a to the centre of b, x to the right and y down."""
    dx = (b.box[0] + b.box[2] - a.box[0] - a.box[2]) / 2
    return dx, (b.box[1] + b.box[3] - a.box[1] - a.box[3]) / 2


_RULES = (
    (_BEHIND, _behind),
    (_FRONT, lambda a, b: _behind(b, a)),
    (_LEFT, _left),
    (_RIGHT, lambda a, b: _left(b, a)),
    (_ABOVE, _above),
    (_BELOW, lambda a, b: _above(b, a)),
    (_BESIDE, _beside),
)
