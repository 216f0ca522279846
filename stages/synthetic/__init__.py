"""Scenes: image-caption pairs that are drawn, so that every box and every phrase is known exactly."""

from stages.synthetic.nouns import NOUNS, Noun
from stages.synthetic.scene import Scene, draw_scene, scene_caption, scene_masks, scene_nouns, scene_size

__all__ = ["NOUNS", "Noun", "Scene", "draw_scene", "scene_caption", "scene_masks", "scene_nouns", "scene_size"]
