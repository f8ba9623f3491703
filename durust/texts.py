"""Stored values as anybody may read them: JSON where they are JSON, their text elsewhere, and never a pickle."""

from __future__ import annotations

import json

from durust.codec import PORTABLE_JSON


def value_of(text: str | None, serialization: str | None) -> object:
    """Return a stored value as JSON shows it; what is written otherwise stays the text that it is."""
    if text is None or serialization not in {None, "", PORTABLE_JSON}:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def error_line(text: str | None, serialization: str | None) -> str | None:
    """Return a recorded error in one line, as in `ValueError: no such customer`."""
    found = value_of(text, serialization)
    if isinstance(found, dict) and "message" in found:
        return f"{found.get('name') or 'error'}: {' '.join(str(found['message']).split())}"
    return None if text is None else "an error that only the library can read which wrote it"
