"""Pairs -> curation: no image twice, and none of a benchmark."""
