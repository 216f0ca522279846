"""Pairs + phrases + pseudo -> WebDataset shards."""
