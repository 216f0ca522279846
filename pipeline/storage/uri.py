"""Local paths and URIs of object stores, told apart."""

from __future__ import annotations


def is_remote(uri: str) -> bool:
    return "://" in uri and not uri.startswith("file://")


def local_path(uri: str) -> str:
    return uri.removeprefix("file://")
