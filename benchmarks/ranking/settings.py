"""`--set` of `tastefeed bench ranking`: a part of ours or a peer, a field of it, a value."""

import json
from collections.abc import Sequence
from typing import Any

from benchmarks.methods import METHODS, Params
from benchmarks.methods import parsed as parsed_peers
from contracts.errors import UnknownMethod

PARTS = ("reranker", "candidates", "slate", "windows")


def parsed(settings: Sequence[str]) -> tuple[dict[str, Params], dict[str, Params]]:
    """What is set of ours by part, and of peers by method. Raises `UnknownMethod` for anything else."""
    ours: dict[str, dict[str, Any]] = {}
    rest: list[str] = []
    for setting in settings:
        key, _, value = setting.partition("=")
        part, _, field = key.partition(".")
        if part in PARTS:
            ours.setdefault(part, {})[field] = _value(value)
        elif part in METHODS:
            rest.append(setting)
        else:
            raise UnknownMethod(
                f"--set {setting}: write PART.FIELD=VALUE with a PART of {', '.join((*PARTS, *METHODS))}"
            )
    return dict(ours), dict(parsed_peers(rest))


def _value(text: str) -> Any:
    """Numbers and lists as JSON has them, anything else as text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
