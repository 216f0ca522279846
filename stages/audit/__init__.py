"""A run -> report: figures, checks, sample images, the page."""
