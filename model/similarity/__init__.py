"""Image-text models of CLIP's kind: how well a crop fits its phrase, and an image its caption."""
