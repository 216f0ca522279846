"""The page on which people judge. Everything in it is our own text; what the run holds comes as JSON, and is only ever
shown as text."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

HERE = Path(__file__).parent


def render() -> tuple[str, str]:
    """(HTML, content security policy): the style sheet and the script are inlined, and allowed by their hashes."""
    style, script = ((HERE / name).read_text("utf-8") for name in ("style.css", "review.js"))
    page = (HERE / "template.html").read_text("utf-8")
    policy = (
        "default-src 'none'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
        f"frame-ancestors 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    )
    return page.replace("{{ style }}", style).replace("{{ script }}", script), policy


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
