"""`python -m pipeline.cli`, the same as `phrasebox`."""

from pipeline.cli import main

main()
