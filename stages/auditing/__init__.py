"""The rooms of the audit: summaries of parts, their merge into figures, warnings, pictures, the page, comparisons."""
