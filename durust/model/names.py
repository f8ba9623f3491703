"""What a name or an id may look like."""

from __future__ import annotations

from durust.errors import InvalidArgument

# Longer ones are data rather than names; and an index entry of Postgres must fit into a third of a page.
NAME_LENGTH_MAX = 512


def check_name(what: str, name: object) -> str:
    """Return *name*. Raises `InvalidArgument` for one that is not a text, empty, too long or not storable."""
    if not isinstance(name, str):
        raise InvalidArgument(what, name, "must be a text")
    if not name:
        raise InvalidArgument(what, name, "must not be empty")
    if len(name) > NAME_LENGTH_MAX:
        raise InvalidArgument(what, name[:40] + "...", f"must be at most {NAME_LENGTH_MAX} characters long")
    if "\x00" in name or not (name.isascii() or _has_no_surrogate(name)):
        raise InvalidArgument(what, name, "must not contain NUL or a lone surrogate, which databases cannot store")
    return name


def _has_no_surrogate(text: str) -> bool:
    return all(not "\ud800" <= character <= "\udfff" for character in text)
