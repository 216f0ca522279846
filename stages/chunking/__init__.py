"""Finds base noun phrases in captions: tokens, the small network, and the backends that share one contract."""
