"""Pairs -> phrases: noun phrases with their character spans.

from stages.phrases import NounPhraseExtractor
NounPhraseExtractor().extract(["a red umbrella behind a dog"])
"""

from stages.phrases.extractor import NounPhrase, NounPhraseExtractor

__all__ = ["NounPhrase", "NounPhraseExtractor"]
