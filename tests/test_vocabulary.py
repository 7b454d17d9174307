"""`make check` refuses misspellings and the words of docs/vocabulary, also inside identifiers."""

from pathlib import Path

import pytest
from codespell_lib import main as codespell

ROOT = Path(__file__).parents[1]


@pytest.fixture
def misspellings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Counts what the configuration of the project finds in a text."""
    monkeypatch.chdir(ROOT)
    page = tmp_path / "page.py"
    return lambda text: page.write_text(text) and codespell(str(page))


@pytest.mark.parametrize(
    "text",
    [
        "a reciever",
        "every_readout = 1",
        "untouched = 1",
        "the feed of everybody",
        "class ReadoutConfig:",
        "READOUT_SIZE = 3",
        "the readout's size",
    ],
)
def test_avoided_words_are_found_in_text_and_inside_identifiers(misspellings, text: str) -> None:
    assert misspellings(text) != 0


@pytest.mark.parametrize(
    "text",
    ["@pytest.mark.slow", "iALS", "logits_BN = user_BD @ item_ND.T", "class HTMLResponse:", "Path('x').touch()"],
)
def test_code_and_the_terms_of_the_field_pass(misspellings, text: str) -> None:
    assert misspellings(text) == 0
