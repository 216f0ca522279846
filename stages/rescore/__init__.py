"""Pairs + phrases + labels -> scores: how well each crop fits its phrase, by CLIP or SigLIP."""
