"""The three baselines that phrases are compared with, as they are published or shipped: captions -> character spans."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

Spans = list[tuple[int, int]]
System = Callable[[Sequence[str]], Iterator[Spans]]

GRAMMAR = "NP: {<DT>?<JJ.*>*<NN.*>+}"


def nltk_recipe() -> System:
    """GLIP's recipe: lower-case, tag, chunk by grammar, join the words, search for the phrase in the caption."""
    import nltk
    from nltk.tag.perceptron import PerceptronTagger
    from nltk.tokenize import NLTKWordTokenizer

    tokenizer, tagger, parser = NLTKWordTokenizer(), PerceptronTagger(), nltk.RegexpParser(GRAMMAR)

    def spans(caption: str) -> Spans:
        text = caption.lower()
        tree = parser.parse(tagger.tag(tokenizer.tokenize(text)))
        phrases = [" ".join(word for word, _ in part.leaves()) for part in tree.subtrees(lambda t: t.label() == "NP")]
        found: Spans = []
        for phrase in dict.fromkeys(phrases):
            found += [match.span() for match in re.finditer(re.escape(phrase), text)]
        return sorted(found)

    return lambda captions: (spans(caption) for caption in captions)


def noun_chunks() -> System:
    """spaCy's noun chunks by the full pipeline; chunks whose root is a pronoun are left out."""
    import spacy

    from stages.phrases.spacy_backend import SpacyBackend

    nlp = spacy.load(SpacyBackend().model)

    def run(captions: Sequence[str]) -> Iterator[Spans]:
        for doc in nlp.pipe(captions, batch_size=256):
            yield [(chunk.start_char, chunk.end_char) for chunk in doc.noun_chunks if chunk.root.pos_ != "PRON"]

    return run


def grammar_on_tags() -> System:
    """GLIP's grammar on spaCy's tags, spans from the tokens."""
    import spacy

    from stages.phrases.grammar import grammar_spans
    from stages.phrases.spacy_backend import SpacyBackend

    nlp = spacy.load(SpacyBackend().model, exclude=["parser", "ner", "lemmatizer", "senter", "attribute_ruler"])

    def run(captions: Sequence[str]) -> Iterator[Spans]:
        for doc in nlp.pipe(captions, batch_size=256):
            yield [
                (doc[first].idx, doc[last - 1].idx + len(doc[last - 1]))
                for first, last in grammar_spans([token.tag_ for token in doc])
            ]

    return run


def ours(backend: str = "auto") -> System:
    from stages.phrases import NounPhraseExtractor

    extractor = NounPhraseExtractor(backend)
    return lambda captions: ([(p.start, p.end) for p in parsed.phrases] for parsed in extractor.parse(captions))


SYSTEMS: dict[str, Callable[[], System]] = {
    "ours": ours,
    "nltk_recipe": nltk_recipe,
    "noun_chunks": noun_chunks,
    "grammar_on_tags": grammar_on_tags,
}
