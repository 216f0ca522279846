"""The page's file; tests/pipeline/cli/review/test_page.py has it in a browser."""

from __future__ import annotations

import base64
import hashlib
import re

from stages.review.page import render


def test_the_policy_allows_the_one_style_and_script_of_the_page() -> None:
    html, policy = render()
    for element, rule in (("style", "style-src"), ("script", "script-src")):
        (content,) = re.findall(f"<{element}>(.*?)</{element}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{rule} 'sha256-{digest}'" in policy
    assert "unsafe" not in policy and "{{" not in html and "http:" not in html.replace("http://www.w3.org/2000/svg", "")
