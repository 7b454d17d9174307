"""The languages that a reader asks for, from `Accept-Language` (RFC 9110, section 12.5.4)."""


def accepted(header: str | None) -> frozenset[str] | None:
    """Primary languages as in `pt`, of `pt-BR` and `pt_BR` alike; `None` where all are welcome (no header, or `*`).

    The feed mixes them in its own order, so weights matter only where they are 0: not this one.
    """
    wanted = [_language(part) for part in (header or "").split(",") if part.strip()]
    languages = frozenset(language for language, weight in wanted if weight > 0)
    return None if not wanted or "*" in languages else languages


def primary(tag: str) -> str:
    """The primary language of a tag: `pt` of `pt-BR`, `pt_BR` and `PT`; empty where it names none (`und`)."""
    language = tag.strip().lower().replace("_", "-").split("-")[0]
    return "" if language == "und" else language


def _language(part: str) -> tuple[str, float]:
    tag, *parameters = (piece.strip().lower() for piece in part.split(";"))
    return primary(tag), next((_weight(piece[2:]) for piece in parameters if piece.startswith("q=")), 1.0)


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 1.0
