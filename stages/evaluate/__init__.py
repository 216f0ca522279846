"""A model + a benchmark -> evaluation: AP, recall, agreement."""
