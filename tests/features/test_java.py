from pathlib import Path

import pytest

from contracts.errors import JavaMissing
from features.java_home import java_home, java_version, usual_homes


def a_home(folder: Path, version: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "java").touch()
    (folder / "release").write_text(f'IMPLEMENTOR="X"\nJAVA_VERSION="{version}"\nJAVA_VERSION_DATE="2025-04-15"\n')
    return folder


def test_version_is_read_from_the_release_file(tmp_path: Path):
    assert java_version(a_home(tmp_path / "a", "17.0.15")) == 17
    assert java_version(a_home(tmp_path / "b", "25")) == 25
    assert java_version(tmp_path) is None


def test_first_fit_home_wins(tmp_path: Path):
    too_new, fit, also_fit = (a_home(tmp_path / version, version) for version in ("25.0.3", "21.0.7", "17.0.15"))
    assert java_home([tmp_path / "absent", too_new, fit, also_fit]) == fit


def test_message_names_what_was_found_and_the_remedy(tmp_path: Path):
    home = a_home(tmp_path / "jdk", "25.0.3")
    with pytest.raises(JavaMissing, match=f"needs Java 17 or 21, found Java 25 in {home}; install one .*JAVA_HOME"):
        java_home([home])
    with pytest.raises(JavaMissing, match="found no Java at all"):
        java_home([])


def test_java_home_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert next(usual_homes()) == tmp_path
