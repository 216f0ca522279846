"""What is a path, and what a URI."""

from __future__ import annotations

import pytest

from pipeline.storage.uri import is_remote, local_path


@pytest.mark.parametrize(
    ("uri", "remote"),
    [
        ("s3://bucket/run", True),
        ("gs://bucket", True),
        ("memory://run", True),
        ("/data/run", False),
        ("runs/demo", False),
        ("file:///data/run", False),
        ("C:/data", False),
    ],
)
def test_a_store_is_named_by_a_scheme(uri: str, remote: bool) -> None:
    assert is_remote(uri) is remote


def test_a_file_uri_is_a_path() -> None:
    assert local_path("file:///data/run") == "/data/run" and local_path("runs/demo") == "runs/demo"
