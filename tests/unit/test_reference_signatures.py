"""The pages of the Python reference, read as files: what is documented is shown with its signature, as it is in the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.signatures import DIRECTIVE, PAGES, page_with_signatures

WITH_SIGNATURES = [page for page in sorted(PAGES.glob("*.md")) if DIRECTIVE.search(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", WITH_SIGNATURES, ids=lambda page: page.stem)
def test_a_page_shows_the_signatures_of_the_code(page: Path) -> None:
    """Without the site, for which mkdocs puts in the docstrings; a page that is behind is written anew by a command."""
    text = page.read_text(encoding="utf-8")
    assert text == page_with_signatures(text), "run: python -m tests.support.signatures"


def test_every_page_of_a_class_is_looked_at() -> None:
    """So that a directive of another form is noticed."""
    assert len(WITH_SIGNATURES) > 20
