import pytest

from tastefeed.serving.languages import accepted


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
])  # fmt: skip
def test_accepted(header, languages):
    assert accepted(header) == languages
