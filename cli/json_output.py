"""`--json`: one JSON document on stdout; everything else, progress included, goes to stderr."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", "-j", help="Print one JSON document; progress goes to stderr.")]
JsonBesideIds = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
"""For commands whose arguments may begin with a dash: `-j` would be found in such an id."""
STDOUT, STDERR = 1, 2


@contextmanager
def progress_on_stderr(*, wanted: bool) -> Iterator[None]:
    """Within this block, what Python, native libraries and child processes print to stdout goes to stderr."""
    if not wanted:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, STDOUT)
        os.close(kept)


def print_json(document: Any) -> None:
    """Print the document. Instants and dates are ISO 8601, NaN is null, other values that JSON lacks are text."""
    plain = json.loads(json.dumps(document, default=_as_text), parse_constant=lambda _: None)
    typer.echo(json.dumps(plain, indent=1, ensure_ascii=False))


def _as_text(value: Any) -> str:
    return str(value.isoformat() if hasattr(value, "isoformat") else value)
