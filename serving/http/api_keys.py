"""API keys with two roles, from the settings and from a file that is read again when it changes."""

import hmac
import logging
from collections.abc import Iterable
from enum import IntEnum
from hashlib import sha256
from pathlib import Path

from contracts import Settings
from contracts.atomic_files import signature_of
from contracts.errors import BadSetting

LOG = logging.getLogger("tastefeed.keys")
HOW_TO_SET_KEYS = (
    "set TASTEFEED_FEED_KEYS and TASTEFEED_ADMIN_KEYS (comma-separated), or TASTEFEED_KEYS_FILE, to serve others"
)
Digest = bytes


class Role(IntEnum):
    """What a key allows; admin allows everything."""

    NONE = 0
    FEED = 1
    ADMIN = 2


class ApiKeys:
    """The API keys of the settings. Only their SHA-256 digests are kept."""

    def __init__(self, settings: Settings) -> None:
        """Comma-separated keys of each role, and the keys of a file. Raises `BadSetting` for a file without keys."""
        self._fixed = {
            **_roles(_split(settings.feed_keys.get_secret_value()), Role.FEED),
            **_roles(_split(settings.admin_keys.get_secret_value()), Role.ADMIN),
        }
        self._file = KeyFile(settings.keys_file) if settings.keys_file else None

    @property
    def any(self) -> bool:
        """Whether at least one key is set. A file always has one."""
        return bool(self._fixed) or self._file is not None

    def role(self, key: str) -> Role:
        """The role of a key. All digests are compared, each in constant time: they have the same length."""
        given = digest_of(key)
        from_file = self._file.roles() if self._file else {}
        roles = [role for keys in (self._fixed, from_file) for valid, role in keys.items() if _equal(valid, given)]
        return max(roles, default=Role.NONE)


class KeyFile:
    """A file with a line `feed KEY` or `admin KEY` for each key.

    Keys that are added or removed count from the next request on. While the file is missing or has an invalid line, the
    keys that were read last stay valid, so that a failed edit neither opens nor closes the server.
    """

    def __init__(self, path: Path) -> None:
        """Read the file. Raises `BadSetting`."""
        self._path, self._signature = path, signature_of(path)
        self._roles = _read(path)

    def roles(self) -> dict[Digest, Role]:
        """The digest of each key with its role, read again if the file has changed."""
        signature = signature_of(self._path)
        if signature != self._signature:
            self._signature = signature
            self._reload()
        return self._roles

    def _reload(self) -> None:
        try:
            self._roles = _read(self._path)
        except BadSetting as error:
            LOG.error("%s; the keys that were read before stay valid", error)
        else:
            LOG.info("TASTEFEED_KEYS_FILE has changed: %d keys are valid", len(self._roles))


def digest_of(key: str) -> Digest:
    """A digest that stands for the key."""
    return sha256(key.encode()).digest()


def _read(path: Path) -> dict[Digest, Role]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(f"TASTEFEED_KEYS_FILE: cannot read {path}: {_problem(error)}") from None
    roles: dict[Digest, Role] = {}
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            key, role = _key_and_role(line, f"line {number} of {path}")
            digest = digest_of(key)
            roles[digest] = max(role, roles.get(digest, Role.NONE))
    if not roles:
        raise BadSetting(f"TASTEFEED_KEYS_FILE: {path} has no key; write lines such as `feed KEY` and `admin KEY`")
    return roles


def _key_and_role(line: str, where: str) -> tuple[str, Role]:
    role, *keys = line.split()
    if role not in ("feed", "admin") or len(keys) != 1:  # the message must not contain the line: it may hold a key
        raise BadSetting(f"TASTEFEED_KEYS_FILE: {where} is neither `feed KEY` nor `admin KEY`")
    return keys[0], Role[role.upper()]


def _problem(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def _roles(keys: Iterable[str], role: Role) -> dict[Digest, Role]:
    return {digest_of(key): role for key in keys}


def _split(keys: str) -> list[str]:
    return [key.strip() for key in keys.split(",") if key.strip()]


def _equal(valid: Digest, given: Digest) -> bool:
    return hmac.compare_digest(valid, given)
