"""The softmax over phrases, against its definition written out."""

from __future__ import annotations

import math

import numpy as np
import torch

from model.glip import Glip
from model.losses import PhraseTargets, Positives, phrase_softmax


def test_each_anchor_chooses_among_the_phrases_of_its_own_image() -> None:
    logits = torch.randn(2, 10, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    first = PhraseTargets(torch.tensor([[0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 0, 0]]), torch.tensor([1, 0]))
    second = PhraseTargets(
        torch.tensor([[1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]]), torch.tensor([0, 2])
    )
    positives = Positives(torch.tensor([0, 0, 1, 1]), torch.tensor([3, 5, 2, 7]), torch.tensor([0, 1, 2, 3]))
    loss = phrase_softmax(logits, positives, [first, second])

    def expected(scores: list[float], own: int) -> float:
        return math.log(sum(math.exp(score) for score in scores)) - scores[own]

    z = logits.detach().double().tolist()
    wanted = [
        expected([(z[0][3][1] + z[0][3][2]) / 2, z[0][3][3]], 1),
        expected([(z[0][5][1] + z[0][5][2]) / 2, z[0][5][3]], 0),
        expected([z[1][2][0], z[1][2][1]], 0),  # the third phrase has no token: it cannot be chosen
        0.0,  # ... and what belongs to it has nothing to choose
    ]
    np.testing.assert_allclose(loss.detach().numpy(), wanted, rtol=1e-5, atol=1e-6)
    loss.sum().backward()
    assert torch.isfinite(logits.grad).all()


def test_phrases_that_share_a_box_share_its_target() -> None:
    logits = torch.randn(1, 4, 3, generator=torch.Generator().manual_seed(0))
    tokens = torch.eye(4)[:, :3]  # the fourth phrase has no token
    shared = torch.tensor([[1, 0, 1, 1], [0, 1, 0, 0]])
    targets = PhraseTargets(tokens, torch.tensor([2, 1]), shared)
    positives = Positives(torch.zeros(3, dtype=torch.long), torch.tensor([0, 1, 3]), torch.tensor([0, 0, 1]))
    log = logits[0].log_softmax(1)
    wanted = [-(log[0, 0] + log[0, 2]) / 2, -(log[1, 0] + log[1, 2]) / 2, -log[3, 1]]
    torch.testing.assert_close(phrase_softmax(logits, positives, [targets]), torch.stack(wanted))


def test_it_joins_the_losses_only_when_asked_for() -> None:
    glip = Glip.from_variant("glip-nano", seed=0)
    image = np.full((224, 256, 3), 90, np.uint8)
    text = ("a cup and a dog", [[(0, 5)], [(10, 15)]])
    boxes = {"boxes": torch.tensor([[40.0, 40.0, 120.0, 110.0]]), "phrase": torch.tensor([1])}
    nothing = {"boxes": torch.zeros(0, 4), "phrase": torch.zeros(0, dtype=torch.long)}
    batch = ([image, image], [text[0], "no thing here"], [text[1], []], [boxes, nothing])
    plain = glip.losses(*batch)
    more = glip.losses(*batch, phrase_softmax=True)
    assert more.keys() - plain.keys() == {"loss_phrase_softmax"} and torch.isfinite(more["loss_phrase_softmax"])
    assert all(torch.equal(plain[name], more[name]) for name in plain)
