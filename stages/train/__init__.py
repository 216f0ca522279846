"""Shards (+ gold) -> student: grounded pre-training."""
