"""Pseudonyms of users and other subjects: a keyed hash. Equal ids have equal pseudonyms; only the key leads back.

All servers and commands of a lake share the key, from the setting or from a file in the lake's folder.
"""

from collections.abc import Callable
from hashlib import blake2b

from contracts import Settings
from serving.privacy.subject_ids import canonical
from serving.shared_keys import key_in_lake

KEY_FILE = ".pseudonym_key"
PSEUDONYM_BYTES = 16
Pseudonym = Callable[[str], str]
"""An id to its pseudonym; the spellings of an id are one subject."""


def pseudonyms(settings: Settings) -> Pseudonym:
    """The pseudonyms of a lake."""
    return pseudonyms_of(pseudonym_key(settings))


def pseudonyms_of(key: str) -> Pseudonym:
    """The pseudonyms under a key."""
    digested = blake2b(key.encode()).digest()

    def pseudonym(subject_id: str) -> str:
        return blake2b(canonical(subject_id).encode(), key=digested, digest_size=PSEUDONYM_BYTES).hexdigest()

    return pseudonym


def pseudonym_key(settings: Settings) -> str:
    """The key of the setting, or else the random key in the lake's folder. Raises `BadSetting`."""
    own = settings.pseudonym_key.get_secret_value().strip()
    return own or key_in_lake(settings, KEY_FILE, setting="TASTEFEED_PSEUDONYM_KEY")
