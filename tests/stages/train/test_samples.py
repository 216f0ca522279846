"""Samples: boxes and their arrays are filtered together."""

from __future__ import annotations

import numpy as np

from stages.geometry import box_array
from stages.train.samples import TrainingSample


def test_a_sample_keeps_some_of_its_boxes_with_all_that_belongs_to_them() -> None:
    boxes = box_array([(0, 0, 5, 5), (1, 1, 6, 6), (2, 2, 7, 7)])
    scores = np.array([0.9, 0.5, 0.7], np.float32)
    spans = (((0, 5),), ((10, 15),))
    sample = TrainingSample("key", b"", "a cat and a dog", spans, boxes, np.array([0, 1, 1]), scores, pseudo=True)
    kept = sample.keep(scores > 0.6)
    assert kept.boxes.tolist() == [[0, 0, 5, 5], [2, 2, 7, 7]]
    assert kept.phrase.tolist() == [0, 1] and kept.scores.tolist() == scores[[0, 2]].tolist()
    assert (kept.key, kept.caption, kept.spans, kept.pseudo) == ("key", "a cat and a dog", spans, True)
    assert len(sample.boxes) == 3
