"""GLIP (grounded language-image pre-training) in plain torch."""
