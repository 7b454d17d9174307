"""What a benchmark says of the code that it ran."""

import pytest

from benchmarks import environment


@pytest.mark.parametrize(
    ("commit", "said"),
    [("0123456789ab+changes", "01234567+changes"), ("0123456789ab", "01234567"), ("unknown", None)],
)
def test_versions_name_the_commit_of_a_checkout(commit: str, said: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "git_commit", lambda: commit)
    found = environment.versions()
    assert found.get("commit") == said
    assert {"tastefeed", "numpy", "torch"} <= set(found)
