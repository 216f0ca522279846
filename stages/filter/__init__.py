"""Labels -> pseudo: score, per-phrase NMS and other rules."""
