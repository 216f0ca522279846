"""OmDet-Turbo: each phrase is a text of its own, beside a task that names all of them.

The network (Zhao et al. 2024) chooses its queries by their similarity with any of the phrases, and they attend to the
task, "Detect a dog, a red umbrella.". So what it finds for a phrase depends on the others of its prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from model.device import send
from model.images import Size
from model.teacher import OVER_LIMIT, Span, Work
from model.teachers.detector import (
    Detector,
    Prediction,
    category_texts,
    enough_positions,
    phrase_texts,
    read_phrases,
    remembered,
)
from model.teachers.pixels import IMAGENET

MOST = 77  # tokens of a text


class Task(NamedTuple):
    """A prompt: phrases, and the task that names them."""

    phrases: list[int]
    ids: list[tuple[int, ...]]  # of each phrase
    task: tuple[int, ...]


class OmDetTurbo(Detector):
    images: ClassVar = {**IMAGENET, "size": {"height": 640, "width": 640}, "resample": 2}

    def __init__(self, folder: Path, device: torch.device) -> None:
        super().__init__(folder, device)
        self.most = min(MOST, int(self.model.config.text_config.max_position_embeddings))
        self.embedding = remembered(self._embed)

    def caption_work(self, caption: str, spans: Sequence[Sequence[Span]]) -> Work[Task]:
        return self._work(phrase_texts(caption, spans))

    def category_work(self, categories: Sequence[str], per_prompt: int | None = None) -> Work[Task]:
        return self._work(category_texts(categories), per_prompt)

    def _work(self, texts: Sequence[str], per_prompt: int | None = None) -> Work[Task]:
        """As many phrases in a prompt as its task has tokens for; one whose own task is too long is dropped."""
        found, dropped = read_phrases(texts, self.tokenizer, self.most)
        prompts: list[Task] = []
        for phrase, ids in found.items():
            alone = self._task([texts[phrase]])
            last = prompts[-1] if prompts else Task([], [], ())
            task = self._task([texts[index] for index in (*last.phrases, phrase)])
            if len(alone) > self.most:
                dropped.append((phrase, OVER_LIMIT))
            elif last.phrases and len(task) <= self.most and len(last.phrases) != per_prompt:
                prompts[-1] = Task([*last.phrases, phrase], [*last.ids, ids], task)
            else:
                prompts.append(Task([phrase], [ids], alone))
        return Work(prompts, sorted(dropped))

    def _task(self, texts: Sequence[str]) -> tuple[int, ...]:
        return tuple(self.tokenizer(f"Detect {', '.join(texts)}.").ids)

    def fits(self, size: Size) -> bool:
        return enough_positions(self.model.config, size)

    def encode(self, pixels: Tensor) -> list[Tensor]:
        features = self.model.vision_backbone(pixels)
        maps: list[Tensor] = self.model.encoder(features, return_dict=True).extracted_states
        return maps

    def predict(self, images: list[Tensor], rows: list[int], prompts: Sequence[Task]) -> Prediction:
        """A prompt with fewer phrases than another repeats its first one: the zeros with which the library fills up
        compete with the phrases when the queries are chosen."""
        index = send(torch.tensor(rows), self.device)
        most = max(len(prompt.ids) for prompt in prompts)
        own = [[self.embedding(ids) for ids in prompt.ids] for prompt in prompts]
        phrases = torch.stack([torch.stack([*of, *of[:1] * (most - len(of))]) for of in own], dim=1)  # (K, b, D)
        tasks, mask = self._tasks([prompt.task for prompt in prompts])
        found = self.model.decoder([x[index] for x in images], phrases, tasks, mask, return_dict=True)
        return Prediction(found.decoder_coords[-1], found.decoder_classes[-1].float().sigmoid())

    def _tasks(self, tasks: Sequence[tuple[int, ...]]) -> tuple[Tensor, Tensor]:
        """(L, b, D) features of the tokens of each task, and (b, L) which of them there are."""
        longest = max(map(len, tasks))
        features, masks = [], []
        for ids in tasks:
            tokens = send(torch.tensor([ids]), self.device)
            of, mask = self.model.language_backbone(tokens, mask=torch.ones_like(tokens), encode_type="task")
            features.append(pad(of, (0, 0, 0, 0, 0, longest - len(ids))))
            masks.append(pad(mask, (0, longest - len(ids))))
        return torch.cat(features, dim=1), torch.cat(masks)

    def _embed(self, ids: tuple[int, ...]) -> Tensor:
        """(D,) of one phrase."""
        embedding: Tensor = self.model.language_backbone(send(torch.tensor([ids]), self.device), encode_type="class")[0]
        return embedding
