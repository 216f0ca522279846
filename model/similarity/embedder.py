"""Networks that give an image a vector: those of DINOv2's kind, which know images alone, and the image-text models.

    embedder = open_embedder(folder)
    (vectors,) = embedder.image_vectors([[embedder.pixels.whole(image)]])     # (1, D), of length 1

DINOv2 (Oquab et al. 2023), with registers (Darcet et al. 2023), DINOv3 (Siméoni et al. 2025): the class token. CLIP,
SigLIP, SigLIP 2 and MetaCLIP 2: the projected vector, which is also compared with texts.
"""

from __future__ import annotations

from pathlib import Path

from model.hub import CONFIG, HubError, read_json
from model.similarity.images import ImageEmbedder
from model.similarity.network import FAMILIES, Similarity, family_of
from model.similarity.pixels import Stretched, read_settings

IMAGES_ALONE = {
    "dinov2": "Dinov2Model",
    "dinov2_with_registers": "Dinov2WithRegistersModel",
    "dinov3_vit": "DINOv3ViTModel",
}  # by `model_type`, the class in transformers


def knows_texts(folder: Path) -> bool:
    """Whether the checkpoint is of an image-text model. Raises HubError for one that gives no vectors of images."""
    kind = read_json(folder / CONFIG).get("model_type")
    if kind in IMAGES_ALONE:
        Stretched(read_settings(folder))
        return False
    if kind not in FAMILIES:
        usable = ", ".join([*IMAGES_ALONE, *FAMILIES])
        raise HubError(f"{folder}: a model of the type {kind!r}; those that can be used are {usable}")
    family_of(folder)
    return True


def open_embedder(folder: Path, device: str = "cpu", precision: str = "fp32", batch_size: int = 32) -> ImageEmbedder:
    """A `Similarity` where the checkpoint is of an image-text model. Raises HubError, DeviceError."""
    if knows_texts(folder):
        return Similarity(folder, device, precision, batch_size)
    network = IMAGES_ALONE[read_json(folder / CONFIG)["model_type"]]
    return ImageEmbedder(folder, network, Stretched(read_settings(folder)), device, precision, batch_size)
