"""pairs -> curation: which pairs are kept; near-duplicates and images of benchmarks are not."""
