"""The rooms of `phrasebox train`: where samples come from, in which order, how they become batches, and the steps."""
