"""The rooms of `phrasebox evaluate`: one benchmark or one measure a file."""
