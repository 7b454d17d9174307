"""Ids: one rule for files, HTTP, the command line and the night.

An id is text of 1 to 512 characters. Surrounding blanks are stripped. Control characters and lone surrogates are
refused. Integers are read as their digits; so is text such as `42.0`, because pandas writes an integer column with a
null that way. In a file this applies to a column in which every value has that form (`pipeline.ingestion.id_casts`); a
single value is treated as a column of one.
"""

import re

from contracts.errors import BadId

MAX_ID_LENGTH = 512
BLANKS = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
"""The characters stripped around an id: those with Unicode's property White_Space."""
CONTROL = r"[\x00-\x1f\x7f-\x9f]"
"""A regular expression, valid in Python, Rust and Java, of the characters that an id must not contain."""
WRITTEN_AS_FLOAT = r"^-?(?:0|[1-9][0-9]*)\.0$"
"""A regular expression of an integer that was written as a float."""
EXACT_FLOATS = 2**53
"""From this size on, a float cannot distinguish neighbouring integers, so two ids may have become one."""
_REFUSED = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_WRITTEN_AS_FLOAT = re.compile(WRITTEN_AS_FLOAT)


def read_id(value: object) -> str:
    """The id that `value` represents. Raises `BadId` with the reason; the message never repeats the value."""
    text = _as_text(value).strip(BLANKS)
    if not text:
        raise BadId("is blank; give an id")
    if len(text) > MAX_ID_LENGTH:
        raise BadId(f"is longer than {MAX_ID_LENGTH} characters ({len(text):,}); give a shorter id")
    if _REFUSED.search(text):
        raise BadId("holds a control character or a lone surrogate; remove it")
    return text.removesuffix(".0") if _WRITTEN_AS_FLOAT.match(text) else text


def is_id(value: object) -> bool:
    """Whether `read_id` accepts a value."""
    try:
        read_id(value)
    except BadId:
        return False
    return True


def spellings(id_: str) -> tuple[str, ...]:
    """An id and its other spelling, if any: `42` and `42.0` are one id, but a column that mixes such floats with other
    ids keeps them unchanged."""
    if _WRITTEN_AS_FLOAT.match(id_):
        return id_, id_.removesuffix(".0")
    return (id_, f"{id_}.0") if _WRITTEN_AS_FLOAT.match(f"{id_}.0") else (id_,)


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        if abs(value) >= EXACT_FLOATS:
            raise BadId("is a float too large to be exact; send the id as text")
        return str(int(value))
    raise BadId("is neither text nor an integer; send the id as text")
