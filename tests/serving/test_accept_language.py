import pytest

from serving.accept_language import accepted, primary


@pytest.mark.parametrize(("header", "languages"), [
    (None, None),
    ("", None),
    ("*", None),
    ("pt", {"pt"}),
    ("pt-BR,pt;q=0.9,en;q=0.8", {"pt", "en"}),
    ("EN-us", {"en"}),
    ("en;q=0, pt", {"pt"}),
    ("en, *;q=0.1", None),
    ("en;q=often", {"en"}),
    ("en;q=0", set()),
    ("pt_BR", {"pt"}),
    ("PT_br;q=0.5, zh_Hant-TW", {"pt", "zh"}),
])  # fmt: skip
def test_accepted(header, languages):
    assert accepted(header) == languages


@pytest.mark.parametrize(("tag", "language"), [
    ("pt-BR", "pt"), ("pt_BR", "pt"), (" PT ", "pt"), ("zh-Hant_TW", "zh"), ("", ""), ("und", ""), ("und-Latn", ""),
])  # fmt: skip
def test_primary(tag, language):
    assert primary(tag) == language
