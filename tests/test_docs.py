"""Pages name files that exist, their links lead somewhere, and their sentences stay short."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest
from typer.main import get_command

from cli.command_line import app
from contracts import Settings
from contracts.setting_variables import names
from pipeline.run_context import NightConfig

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "client/README.md",
    "data/deskdrop/README.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")),
)
GENERATED = ("docs/benchmarks.md", "docs/benchmarks-ranking.md")
WRITTEN = [page for page in PAGES if page not in GENERATED]
PACKAGES = "benchmarks|cli|contracts|dags|docs|evaluation|features|models|notebooks|pipeline|ranking|serving|tests|data"
LONGEST_SENTENCE, LONGEST_README, MOST_TERMS = 25, 700, 40


def text_of(page: str) -> str:
    return (ROOT / page).read_text()


def prose(text: str) -> list[str]:
    """Paragraphs, list items and table cells, without code and comments."""
    text = re.sub(r"(?ms)^ *```.*?^ *```|<!--.*?-->", "\n\n", text)
    text = re.sub(r"(?m)^#+ (.*)$", r"\n\n\1\n\n", text)
    text = re.sub(r"(?m)^\s*([-*>]|\d+\.)\s+", "\n\n", text)
    text = re.sub(r"(?m)^\|(.*)\|$", lambda row: "\n\n" + row[1].replace(" | ", "\n\n") + "\n\n", text)
    text = re.sub(r"`[^`]*`", "CODE", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text))
    return re.split(r"\n\s*\n", text)


@pytest.mark.parametrize("page", WRITTEN)
def test_named_files_exist(page: str) -> None:
    named = re.findall(rf"`((?:{PACKAGES})/[\w/.-]+)`", text_of(page))
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page: str) -> None:
    for target, heading in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", text_of(page)):
        path = (ROOT / page).parent / target if target else ROOT / page
        assert path.exists(), target
        if heading:
            headings = re.findall(r"(?m)^#+ (.*)$", path.read_text())
            assert heading in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings}


def documented_commands(text: str) -> Iterator[list[str]]:
    """The arguments of each `tastefeed …` in a code block or between backticks, without comments and variables."""
    text = text.replace("\\\n", " ")
    lines = [line for block in re.findall(r"(?ms)^```\n(.*?)^```", text) for line in block.splitlines()]
    for line in [*lines, *re.findall(r"`([^`\n]*)`", text)]:
        if command := re.match(r"(?:\$ )?(?:[A-Z_]+=\S+ )*tastefeed (\S.*)", line):
            yield list(takewhile(lambda word: word not in {"…", "|"}, shlex.split(command[1], comments=True)))


@pytest.mark.parametrize("page", WRITTEN)
def test_documented_commands_and_options_exist(page: str) -> None:
    for words in documented_commands(text_of(page)):
        command, rest = get_command(app), words
        while rest and hasattr(command, "commands") and not rest[0].startswith("-"):
            assert rest[0] in command.commands, words
            command, rest = command.commands[rest[0]], rest[1:]
        options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word for word in rest if word.startswith("--")} <= options, words


@pytest.mark.parametrize("page", WRITTEN)
def test_documented_make_targets_and_settings_exist(page: str) -> None:
    targets = set(re.findall(r"(?m)^([a-z-]+):", text_of("Makefile")))
    assert set(re.findall(r"(?:`|^)make (?:-n )?([a-z-]+)", text_of(page), re.M)) <= targets
    variables = {*names(Settings), *names(NightConfig)}
    mentioned = set(re.findall(r"TASTEFEED_\w*[A-Z]\b", text_of(page)))
    assert {name for name in mentioned if name != "TASTEFEED_GATES__NAME"} <= variables


@pytest.mark.parametrize("page", WRITTEN)
def test_sentences_are_short(page: str) -> None:
    sentences = [sentence for part in prose(text_of(page)) for sentence in re.split(r"(?<=[.!?:])\**\s+", part)]
    assert [sentence for sentence in sentences if len(sentence.split()) > LONGEST_SENTENCE] == []


def test_the_architecture_lists_every_package() -> None:
    tree = re.search(r"(?ms)^```\n(contracts/.*?)^```", text_of("docs/architecture.md"))
    assert tree is not None
    listed = re.findall(r"(?m)^(\w+)/", tree[1])
    packages = [path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests"]
    assert set(packages) <= set(listed)
    assert [name for name in listed if not (ROOT / name).is_dir()] == []


def test_the_readme_and_the_glossary_stay_short() -> None:
    assert len(text_of("README.md").split()) <= LONGEST_README
    assert text_of("docs/glossary.md").count("\n| ") - 2 <= MOST_TERMS


def test_the_changelog_begins_with_this_version() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    assert re.findall(r"(?m)^## (.*)$", text_of("CHANGELOG.md"))[0] == project["version"]
