"""Encodings, packed files and CSV dialects, up to the rows that are read."""

import bz2
import codecs
import csv
import gzip
import io
import lzma
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.errors import SchemaMismatch, UnreadableInput
from pipeline.ingestion.file_formats import read_file
from pipeline.ingestion.readers import read_table

ROWS = [("i1", "One, two; three"), ("i2", "Café | Übung"), ("i3", "漢字\t'x'")]
COLUMNS = ("item_id", "title")


def csv_text(delimiter: str, newline: str = "\n") -> str:
    lines = [("item_id", "title"), *ROWS]
    return "".join(f'{item}{delimiter}"{title}"{newline}' for item, title in lines)


def read(path: Path, content: bytes) -> list[tuple[str, str]]:
    path.write_bytes(content)
    return read_file(path, COLUMNS).rows()


def refusal(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises((UnreadableInput, SchemaMismatch)) as error:
        read_table(path, "items")
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("delimiter", list(",;\t|"))
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["items.csv", "items.csv.gz"])
def test_delimiters_and_encodings(tmp_path: Path, delimiter: str, newline: str, encoding: str, name: str) -> None:
    mark = codecs.BOM_UTF16_BE if encoding == "utf-16-be" else b""
    content = mark + csv_text(delimiter, newline).encode(encoding)
    assert read(tmp_path / name, gzip.compress(content) if name.endswith(".gz") else content) == ROWS


@pytest.mark.parametrize("line", ["sep=;\n", "sep=;\r\n", '"sep=;"\n', "\ufeffSEP=;\n"])
def test_the_line_for_excel_names_the_delimiter(tmp_path: Path, line: str) -> None:
    assert read(tmp_path / "items.csv", (line + csv_text(";")).encode()) == ROWS


def test_the_line_for_excel_may_name_any_delimiter(tmp_path: Path) -> None:
    assert read(tmp_path / "items.csv", b"sep=^\nitem_id^title\ni1^a,b;c\n") == [("i1", "a,b;c")]


def test_a_tsv_is_a_csv(tmp_path: Path) -> None:
    assert read(tmp_path / "items.TSV", csv_text("\t").encode()) == ROWS


def test_one_column_needs_no_delimiter(tmp_path: Path) -> None:
    assert read(tmp_path / "items.csv", b"item_id\na\nb\n") == [("a",), ("b",)]


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    spaced = b"item_id,title,url\n\ni1,One,x\n,,\n\n\ni2,,\n\n"
    assert read(tmp_path / "items.csv", spaced) == [("i1", "One", "x"), ("i2", None, None)]
    assert read(tmp_path / "one.csv", b"item_id\na\n\nb\n\n") == [("a",), ("b",)]


def test_known_columns_count_more_than_many_columns(tmp_path: Path) -> None:
    header, row = '"item_id";"title";"a,b,c,d,e"\n', "i1;One;x\n"
    assert read(tmp_path / "items.csv", (header + row).encode()) == [("i1", "One", "x")]


def test_quoted_newlines_and_names_with_blanks(tmp_path: Path) -> None:
    content = b'\n item_id ; "title" \ni1;"One\ntwo"\n'
    (tmp_path / "items.csv").write_bytes(content)
    frame = read_file(tmp_path / "items.csv", COLUMNS)
    assert frame.columns[0] == "item_id"
    assert frame.row(0) == ("i1", "One\ntwo")


def test_a_known_column_twice_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path / "items.csv", b"item_id,title, item_id\na,b,c\n")
    assert message.endswith("items.csv: the header has item_id twice; drop or rename one")


CELLS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    rows=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
)
def test_any_cells_come_back(tmp_path: Path, rows: list[tuple[str, str]], delimiter: str, encoding: str) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([COLUMNS, *rows])
    assert read(tmp_path / "items.csv", text.getvalue().encode(encoding)) == rows


@pytest.mark.parametrize(("encoding", "name"), [("latin-1", "LATIN1"), ("cp1252", "WINDOWS-1252")])
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_another_encoding_is_named_with_the_remedy(tmp_path: Path, encoding: str, name: str, suffix: str) -> None:
    odd = "Café" if encoding == "latin-1" else "Café – €"
    text = f"item_id,title\na,b\nc,{odd}\n" if suffix == "csv" else f'{{"item_id": "a"}}\n\n{{"item_id": "{odd}"}}\n'
    message = refusal(tmp_path / f"items.{suffix}", text.encode(encoding))
    assert message.endswith(
        f"items.{suffix}: line 3 is neither UTF-8 nor UTF-16 with a byte-order mark (perhaps {name}; "
        f"convert it: iconv -f {name} -t UTF-8 OLD > NEW)"
    )


def test_utf16_without_its_mark_and_truncated(tmp_path: Path) -> None:
    assert "it holds NUL characters); save it as UTF-8" in refusal(
        tmp_path / "i.csv", csv_text(",").encode("utf-16-le")
    )
    assert "is no whole UTF-16 file" in refusal(tmp_path / "i.csv", csv_text(",").encode("utf-16")[:-1])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_json_lines_with_a_mark(tmp_path: Path, encoding: str) -> None:
    assert read(tmp_path / "i.jsonl", '{"item_id": "a", "title": "é"}\n'.encode(encoding)) == [("a", "é")]


@pytest.mark.parametrize("line", ["[" * 100_000, '{"a":' * 100_000, '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"])
def test_a_deeply_nested_line_is_one_error_line(tmp_path: Path, line: str) -> None:
    message = refusal(tmp_path / "i.jsonl", f'{{"item_id": "a"}}\n{line}\n'.encode())
    assert message.endswith("i.jsonl: line 2 is no JSON object; write one object a line, not nested too deeply")


@pytest.mark.parametrize("content", [b"", codecs.BOM_UTF8, codecs.BOM_UTF16_LE])
def test_a_packed_file_of_nothing(tmp_path: Path, content: bytes) -> None:
    assert refusal(tmp_path / "i.csv.gz", gzip.compress(content)).endswith("is empty; export it again")


@pytest.mark.parametrize("content", [b"item_id\na\n", gzip.compress(b"item_id\na\n")[:-5]], ids=["plain", "truncated"])
def test_a_name_that_promises_gzip(tmp_path: Path, content: bytes) -> None:
    assert refusal(tmp_path / "i.csv.gz", content).endswith("is no whole gzip file; export it again")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (bz2.compress(b"x"), "bzip2"),
        (lzma.compress(b"x"), "xz"),
        (b"\x28\xb5\x2f\xfd....", "zstd"),
        (b"PK\3\4...", "zip"),
        (zlib.compress(b"item_id\na\n"), "zlib"),
        (zlib.compress(b"item_id\na\n", 3), "zlib"),
        (gzip.compress(gzip.compress(b"item_id\na\n")), "gzip in gzip"),
    ],
    ids=range(7),  # packed bytes hold the second they were packed in, and each test process would see other names
)
def test_another_packer_is_named(tmp_path: Path, content: bytes, name: str) -> None:
    assert refusal(tmp_path / "i.csv", content).endswith(f"is a {name} file; unpack it, or pack it with gzip")


def test_gzip_is_recognized_without_its_extension(tmp_path: Path) -> None:
    assert read(tmp_path / "i.csv", gzip.compress(csv_text(";").encode())) == ROWS


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_bomb_is_refused_in_bounded_memory(tmp_path: Path, suffix: str) -> None:
    """1 MB that unpacks to 1 GB, of one line or of many."""
    for unit in (b"0" * (1 << 20), b"a,b\n" * (1 << 18)):
        (tmp_path / f"i.{suffix}.gz").write_bytes(gzip.compress(unit * 16) * 64)  # gzip files may follow each other
        code = (
            "import resource, sys\n"
            "from contracts.errors import UnreadableInput\n"
            "from pipeline.ingestion.file_formats import read_file\n"
            "from pathlib import Path\n"
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "try:\n    read_file(Path(sys.argv[1]))\n"
            "except UnreadableInput as error:\n    print(error)\n"
            "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
        )
        path = tmp_path / f"i.{suffix}.gz"
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
        output, grown_mb = done.stdout.splitlines()
        assert (
            "MB, which is 100 times its size or TASTEFEED_MAX_UNPACKED_MB; look at it, and unpack it yourself" in output
        )
        assert int(grown_mb) < 50


def test_the_limit_of_packed_files_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = gzip.compress(b"item_id,title\n" + b"".join(b"%d,%x\n" % (n, n * 7919) for n in range(150_000)))
    assert len(read(tmp_path / "i.csv.gz", packed)) == 150_000
    monkeypatch.setenv("TASTEFEED_MAX_UNPACKED_MB", "1")
    assert "unpacks to more than 1 MB" in refusal(tmp_path / "i.csv.gz", packed)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text("item_id\na\n")
    (tmp_path / "i.csv").chmod(0)
    with pytest.raises(UnreadableInput, match="cannot be read"):
        read_file(tmp_path / "i.csv")


def test_nothing_stays_in_the_folder_of_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "t"))
    read(tmp_path / "i.csv.gz", gzip.compress(csv_text(";").encode("utf-16")))
    refusal(tmp_path / "i.csv.gz", gzip.compress(b"other\na\n"))
    assert list((tmp_path / "t").iterdir()) == []
