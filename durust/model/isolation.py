"""How much a transaction sees of those beside it."""

from __future__ import annotations

READ_COMMITTED, REPEATABLE_READ, SERIALIZABLE = "read committed", "repeatable read", "serializable"
ISOLATIONS = (READ_COMMITTED, REPEATABLE_READ, SERIALIZABLE)
"""From the one that sees most to the one that sees nothing."""
