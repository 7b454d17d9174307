"""The names that erasures gave to releases, in a file beside them.

A setting or an experiment that names a release finds its revision here. The manifest does not have them, because
earlier versions refuse a manifest with an unknown field.
"""

import logging
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from contracts.atomic_files import read_regular, replace_file
from serving.releases.publish import share_with_group

LOG = logging.getLogger("tastefeed.revised_names")
REVISED_FILE = ".revised.json"
MAX_REVISED_BYTES = 1 << 20
NAMES = TypeAdapter(dict[str, str])


def record_revision(root: Path, original: str, revision: str) -> None:
    """Record the new name of a release. Names that lead to no published release are forgotten. A damaged file is kept
    under another name, because an erasure may not wait for its repair. Raises `OSError`."""
    path = root / REVISED_FILE
    try:
        known = _names(root)
    except ValidationError:
        path.rename(aside := path.with_name(f"{REVISED_FILE}.damaged"))
        LOG.error("%s is damaged, and is now %s: settings may not find the releases that it named", path, aside.name)
        known = {}
    names = known | {original: revision}
    kept = {old: new for old, new in names.items() if (root / _followed(root, new, names)).is_dir()}
    replace_file(path, NAMES.dump_json(kept))
    share_with_group(path)


def present_name(root: Path, version: str) -> str:
    """The name under which a release is published by now; its own if none is recorded. Where the file cannot be read,
    the release counts as absent, as one that was deleted."""
    try:
        return _followed(root, version, _names(root))
    except (OSError, ValidationError) as error:
        why = error.strerror if isinstance(error, OSError) else "is damaged"
        LOG.error("%s: %s; a release that an erasure renamed is not found", root / REVISED_FILE, why)
        return version


def _followed(root: Path, version: str, names: dict[str, str]) -> str:
    for _ in names:
        if version not in names or (root / version).is_dir():
            break
        version = names[version]
    return version


def _names(root: Path) -> dict[str, str]:
    """Raises `OSError` and `ValidationError` where the file cannot be read."""
    try:
        return NAMES.validate_json(read_regular(root / REVISED_FILE, max_bytes=MAX_REVISED_BYTES))
    except FileNotFoundError:
        return {}
