"""The commands: their options, what they print, and which exit code they end with."""

from pipeline.cli.app import app, main

__all__ = ["app", "main"]
