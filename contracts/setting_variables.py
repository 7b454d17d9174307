"""The environment variables of settings: value, default, source and description of each. An unknown one is refused."""

import json
import os
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_settings import SettingsError

from contracts.errors import BadSetting

WRONG_SETTINGS = (ValidationError, SettingsError)
"""What pydantic raises for a setting that is out of its range or cannot be read; `wrong_settings` describes it."""
PREFIX = "TASTEFEED_"
NESTED = "__"
"""Joins the name of a component to the name of its field."""
SERVICE = "_SERVICE_HOST"
MASK = "********"
PASSWORD_IN_URL = re.compile(r"(?<=[?&]password=)[^&\s]+|(?P<user>://[^/@\s]*?:)[^/@\s]+(?=@)")
"""The password of `postgresql://user:password@host/database` or of `…?user=user&password=password`."""


@dataclass(frozen=True)
class Variable:
    """One setting as text; secrets are masked."""

    name: str
    value: str
    default: str
    source: str
    """`environment` or `default`, or the variable that it follows."""
    description: str


def variables(model: BaseModel, default: BaseModel | None = None, prefix: str = PREFIX) -> list[Variable]:
    """The variable of each field, nested ones included. `default` has the values without an environment."""
    default = default or type(model).model_construct()
    found: list[Variable] = []
    for name, field in type(model).model_fields.items():
        variable, value, usual = f"{prefix}{name}".upper(), getattr(model, name), getattr(default, name)
        if isinstance(value, BaseModel):
            found += variables(value, usual, f"{variable}{NESTED}")
        else:
            source = "environment" if name in model.model_fields_set else "default"
            found.append(Variable(variable, shown(value), shown(usual), source, field.description or ""))
    return found


def shown(value: object) -> str:
    """A value as text, as its variable takes it. A secret shows only whether it is set; a URL shows no password."""
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    if isinstance(value, tuple | list):
        return json.dumps(value)
    return PASSWORD_IN_URL.sub(lambda password: (password["user"] or "") + MASK, "" if value is None else str(value))


def names(model: type[BaseModel], prefix: str = PREFIX) -> Iterator[str]:
    """The variables that a model reads: each field, each component as a whole (JSON), and each field of a component."""
    for name, field in model.model_fields.items():
        yield (variable := f"{prefix}{name}".upper())
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from names(field.annotation, f"{variable}{NESTED}")


def refuse_unknown(known: Iterable[str], given: Iterable[str], components: Collection[str] = ()) -> None:
    """Raise `BadSetting` if a given variable is not known; the message has the nearest name.

    `components` are known names whose fields are not checked here.
    """
    known = {*known, *components}
    if unknown := sorted(set(given) - known):
        problems = "; ".join(f"{name} is no setting{_nearest(name, known, components)}" for name in unknown)
        raise BadSetting(f"{problems}; correct or unset it (`tastefeed settings` lists every setting)")


def given_variables() -> list[str]:
    """The variables of the environment with our prefix. Upper and lower case are equal, as pydantic reads them.

    Kubernetes adds variables for each service. One called tastefeed has `TASTEFEED_SERVICE_HOST`, `TASTEFEED_PORT` and
    `TASTEFEED_PORT_80_TCP`, for example. These are left out.
    """
    given = [name.upper() for name in os.environ if name.upper().startswith(PREFIX)]
    services = [name.removesuffix(SERVICE) for name in given if name.endswith(SERVICE)]
    of_services = tuple(f"{service}{part}" for service in services for part in ("_SERVICE_", "_PORT_"))
    ports = {f"{service}_PORT" for service in services}
    return [name for name in given if name not in ports and not name.startswith(of_services)]


def _nearest(name: str, known: set[str], components: Collection[str]) -> str:
    """The name that is most like this one, as a question. The prefix that all names share does not count."""
    field = name.partition(NESTED)[2]
    misspelled = {f"{component}{NESTED}{field}" for component in components if field}
    joined = {name.replace(f"{component}_", f"{component}{NESTED}") for component in components} - {name}
    bare = {candidate.removeprefix(PREFIX): candidate for candidate in known | misspelled | joined}
    near = get_close_matches(name.removeprefix(PREFIX), bare, n=1, cutoff=0.7)
    return f" (did you mean {bare[near[0]]}?)" if near else ""


def wrong_settings(refused: ValidationError | SettingsError) -> str:
    """The settings that cannot be read or are out of their range, in one line. pydantic's own text would repeat the
    value, which may be a secret."""
    if isinstance(refused, SettingsError):
        return f"{_unreadable(refused)}: lists and whole components are JSON; `tastefeed settings` shows the form"
    wrong = (f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in refused.errors(include_input=False))
    return f"settings {refused.title}: {'; '.join(wrong)}; see `tastefeed settings`"


def _unreadable(refused: SettingsError) -> str:
    """The given variables of the field that pydantic could not read; it names the field alone."""
    field = re.search(r'field "(\w+)"', str(refused))
    prefix = f"{PREFIX}{field[1] if field else ''}".upper()
    return f"no JSON in {' or '.join(sorted(name for name in given_variables() if name.startswith(prefix)))}"
