"""`python -m phrasebox`, the same as the command `phrasebox`."""

from pipeline.cli import main

if __name__ == "__main__":
    main()
