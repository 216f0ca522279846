"""Looking into a run: single samples as images, and SQL over its tables."""
