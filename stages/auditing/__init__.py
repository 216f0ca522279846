"""The rooms of the audit: per-part summaries, their merge into figures, warnings, pictures, the page, and comparisons."""
