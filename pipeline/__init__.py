"""The roof: commands, config loading, the runner on Ray, commit records, storage and progress."""

__version__ = "0.1.0"
