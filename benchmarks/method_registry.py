"""The methods of the retrieval benchmark by name; a method's library is loaded when it is requested, not before."""

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from benchmarks.retrieval_method import RetrievalMethod
from contracts.errors import UnknownMethod

OURS = "two_tower"
METHODS = {
    "most_popular": "benchmarks.baseline_methods:MostPopularMethod",
    "item_knn": "benchmarks.baseline_methods:ItemKnnMethod",
    "ials": "benchmarks.baseline_methods:IalsMethod",
    "bpr": "benchmarks.baseline_methods:BprMethod",
    "ease": "benchmarks.baseline_methods:EaseMethod",
    "sasrec": "benchmarks.sasrec_method:SasrecMethod",
    OURS: "benchmarks.two_tower_method:TwoTowerMethod",
}

Params = Mapping[str, Any]


def method(name: str) -> type[RetrievalMethod]:
    """The class of a method. Raises `UnknownMethod`."""
    if name not in METHODS:
        raise UnknownMethod(f"{name}: no such method; choose of {', '.join(METHODS)}")
    module, _, class_name = METHODS[name].partition(":")
    method: type[RetrievalMethod] = getattr(import_module(module), class_name)
    return method


def build(name: str, params: Params, *, seed: int, threads: int) -> RetrievalMethod:
    """A method with these settings, the others at their defaults. Raises `UnknownMethod` for a bad setting."""
    kind = method(name)
    try:
        config = kind.Config(**params)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        setting = ".".join([name, *map(str, first["loc"])])
        raise UnknownMethod(f"{setting}: {first['msg']}; see the fields of {kind.Config.__name__}") from wrong
    return kind(config, seed=seed, threads=threads)


def parsed(
    settings: Sequence[str], names: Sequence[str] = tuple(METHODS), kind: str = "METHOD"
) -> dict[str, dict[str, Any]]:
    """`ials.embedding_size=32` or `two_tower.sequence.layers=1`, by method (or other `kind`) of these names.

    Values are read as JSON, or else as text. Raises `UnknownMethod` for anything else.
    """
    fields: dict[str, dict[str, Any]] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        name, dot, field = key.partition(".")
        if not equals or not dot or name not in names:
            raise UnknownMethod(f"--set {setting}: write {kind}.FIELD=VALUE with a {kind} of {', '.join(names)}")
        part = fields.setdefault(name, {})
        *parts, last = field.split(".")
        for each in parts:
            part = part.setdefault(each, {})
        part[last] = _value(value)
    return fields


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
