"""The names that erasures gave to releases, in a file beside them.

A setting or an experiment that names a release finds its revision here. The manifest does not have them, because
earlier versions refuse a manifest with an unknown field.
"""

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from contracts.atomic_files import read_regular, replace_file

REVISED_FILE = ".revised.json"
MAX_REVISED_BYTES = 1 << 20
NAMES = TypeAdapter(dict[str, str])


def record_revision(root: Path, original: str, revision: str) -> None:
    """Record the new name of a release. Names that lead to no published release are forgotten."""
    names = _names(root) | {original: revision}
    kept = {old: new for old, new in names.items() if (root / _followed(root, new, names)).is_dir()}
    replace_file(root / REVISED_FILE, NAMES.dump_json(kept))


def present_name(root: Path, version: str) -> str:
    """The name under which a release is published by now; its own if none is recorded."""
    return _followed(root, version, _names(root))


def _followed(root: Path, version: str, names: dict[str, str]) -> str:
    for _ in names:
        if version not in names or (root / version).is_dir():
            break
        version = names[version]
    return version


def _names(root: Path) -> dict[str, str]:
    """None where the file cannot be read: the release then counts as absent, as one that was deleted."""
    try:
        return NAMES.validate_json(read_regular(root / REVISED_FILE, max_bytes=MAX_REVISED_BYTES))
    except (OSError, ValidationError):
        return {}
