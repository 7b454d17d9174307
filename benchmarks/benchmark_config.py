"""A benchmark written down: the flags of `tastefeed bench retrieval` in a TOML file, and each method's settings."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.errors import UnreadableInput

Value = str | int | float | bool


class RetrievalConfig(BaseModel):
    """What `tastefeed bench retrieval` runs; a field is named as its flag, `[set.METHOD]` holds what `--set` would."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: Path | None = Field(None, description="parquet: user_id, item_id, optional timestamp")
    test: Path | None = Field(None, description="parquet: user_id, item_id")
    ordered: bool = Field(False, description="the rows of train are in order of time")
    k: int = Field(20, ge=1, description="depth of the lists with train and test")
    data: Path | None = Field(None, description="folder of public data sets, instead of train and test")
    dataset: str = Field("", description="gowalla, ml-1m, citeulike-t, amazon-beauty or deskdrop")
    methods: tuple[str, ...] = Field((), description="methods; none: ours and every peer")
    trials: int = Field(20, ge=0, description="trials of each method's tuning; 0: defaults")
    set: dict[str, dict[str, Value]] = Field({}, description="settings of methods, held fixed")
    out: Path | None = Field(None, description="folder for metrics.json and the raw outputs")

    @property
    def flags(self) -> dict[str, Any]:
        """The fields that the file gives, as the command line takes them; without `set`."""
        given = self.model_dump(exclude_unset=True, exclude={"set"}, mode="json")
        return given | ({"methods": ",".join(self.methods)} if "methods" in given else {})

    @property
    def settings(self) -> list[str]:
        """`METHOD.FIELD=VALUE`, as `--set` takes them."""
        return [f"{name}.{field}={value}" for name, fields in self.set.items() for field, value in fields.items()]


def read_config(path: Path) -> RetrievalConfig:
    """The settings of the file. Raises `UnreadableInput` where it is no TOML, or a field is unknown or wrong."""
    try:
        return RetrievalConfig(**tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as wrong:
        first = wrong.errors()[0]
        field, fields = ".".join(map(str, first["loc"])), ", ".join(RetrievalConfig.model_fields)
        raise UnreadableInput(f"{path}: {field}: {first['msg']}; the fields are {fields}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as wrong:
        raise UnreadableInput(f"{path}: cannot be read as TOML ({wrong}); docs/benchmarks/ml-1m.toml is one") from None
