"""Which earlier image each image is a copy of, as a function of the images before it alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def roots(count: int, later: Ints, earlier: Ints) -> Ints:
    """(count,) the first image of the component that each image joins; its own number: it begins one.

    `later`, `earlier` (E,): images that are alike. An image joins the component of the earlier images that it is like;
    where these are of several components, that of the first. Two components are never joined by a later image, so that
    what was decided about earlier ones holds however many follow.
    """
    found = np.arange(count)
    order = np.argsort(later, kind="stable")
    later, earlier = later[order], earlier[order]
    begins = np.flatnonzero(np.concatenate([[True], later[1:] != later[:-1]])) if len(later) else later
    joining = later[begins]
    while len(joining):
        first = np.minimum.reduceat(found[earlier], begins)
        first = found[first]  # in a chain, the step doubles with each pass
        if (found[joining] == first).all():
            break
        found[joining] = first
    return found
