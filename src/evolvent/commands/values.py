"""Values of options that are written as one text: names, pairs, mappings."""

from evolvent.errors import InputError


def names(text: str | None, option: str) -> list[str] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise InputError(f"{option} {text!r} lacks a name", fix=f"Write names with commas between them: {option} A,B")
    return names


def pair(text: str, option: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise InputError(f"{option} {text!r} is not KEY=VALUE")
    return key.strip(), value  # as it is written: a CSV file may well have a column " answer"


def mapping(text: str | None, option: str) -> dict[str, str] | None:
    return dict(pair(part, option) for part in text.split(",")) if text else None
