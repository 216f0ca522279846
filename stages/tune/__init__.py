"""A model + a few examples -> tuned weights."""
