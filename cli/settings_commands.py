"""`tastefeed settings`: print every setting with its value and source; secrets are masked."""

import os
import re

from pydantic import BaseModel, SecretStr
from pydantic_settings import BaseSettings

MASK = "********"
PASSWORD_IN_URL = re.compile(r"(?<=[?&]password=)[^&\s]+|(?P<user>://[^/@\s]*?:)[^/@\s]+(?=@)")
"""The password of `postgresql://user:password@host/database` or of `…?user=user&password=password`."""


def rows(model: BaseModel, prefix: str) -> list[tuple[str, str, str]]:
    """`(variable, value, source)` of each field, nested ones joined by two underscores."""
    settings: list[tuple[str, str, str]] = []
    for name, value in model:
        variable = f"{prefix}{name}".upper()
        if isinstance(value, BaseModel):
            settings += rows(value, f"{variable}__")
        else:
            settings.append((variable, shown(value), "environment" if variable in os.environ else "default"))
    return settings


def shown(value: object) -> str:
    """A value as text. A secret shows only whether it is set; a URL shows no password."""
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    return PASSWORD_IN_URL.sub(lambda password: (password["user"] or "") + MASK, str(value))


def settings() -> None:
    """Print every setting with where it came from, secrets masked."""
    from rich.table import Table

    from contracts import Settings
    from pipeline.console import console
    from pipeline.run_context import NightConfig

    table = Table("setting", "value", "from", box=None)
    models: tuple[BaseSettings, ...] = (Settings(), NightConfig())
    for model in models:
        for variable, value, source in rows(model, "TASTEFEED_"):
            table.add_row(variable, value, source)
    console.print(table)
