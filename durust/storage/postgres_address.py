"""Where a Postgres is and on what terms it is talked to: a URL taken apart, and the settings of a connection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import conninfo

from durust.errors import InvalidArgument
from durust.storage.links import Param

# Half of the default lease: a process stopped inside a transaction must not hold locks while it is being reaped.
IDLE_IN_TRANSACTION_SECONDS = 5
# The locks that a batch meets are held for milliseconds; whoever waits longer should let go of its own.
LOCK_SECONDS = 2
# Below the default lease: what takes longer comes too late for the run that asked.
STATEMENT_SECONDS = 8

PORT_MAX = 65_535

# What the owner of the database or of the role may have set otherwise, for programs of his own. What stands in the
# second statement of a transaction is there because it has to see more than the first one saw; our arrays hold nulls;
# and the names of types are compared.
_EXPECTED = "-c default_transaction_isolation=read\\ committed -c array_nulls=on -c quote_all_identifiers=off"
# Every statement has an index for its access path. Without these the plan that a connection keeps would be the one for
# tables that were still empty when it was made; and plans whose cost is inflated by that must not be compiled.
PLANNING = "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off"
# For a batch of one, Postgres finds a plan for its very values cheaper, by so little that planning it each time takes
# twice as long as everything else: 1,700 against 3,700 steps a second.
PLANNED_ONCE = f"{PLANNING} -c plan_cache_mode=force_generic_plan"
# libpq's own defaults notice a dead peer after two hours, these within half a minute.
_NETWORK = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}

SETTLED: Mapping[str, Param] = {
    "idle": f"{IDLE_IN_TRANSACTION_SECONDS}s",
    "lock": f"{LOCK_SECONDS}s",
    "statement": f"{STATEMENT_SECONDS}s",
}


class Address:
    """A URL taken apart: what libpq gets, what is ours, and what a reader may see.

    Raises `InvalidArgument` for a URL that libpq does not understand, or a value of ours that does not exist.
    """

    def __init__(self, url: str, app_name: str) -> None:
        base, _, query = url.partition("?")
        ours = [part for part in query.split("&") if part.partition("=")[0] == "pooler"]
        theirs = [part for part in query.split("&") if part and part not in ours]
        for part in ours:
            if part != "pooler=transaction":
                raise InvalidArgument("url", part, "the only pooler that needs a word is pooler=transaction")
        self.is_pooled = bool(ours)
        try:
            given = conninfo.conninfo_to_dict("?".join([base, *filter(None, ["&".join(theirs)])]))
        except psycopg.ProgrammingError as error:
            raise InvalidArgument("url", _label(base), str(error).strip()) from None
        for port in filter(None, str(given.get("port", "")).split(",")):
            if not port.isdecimal() or not 0 < int(port) <= PORT_MAX:
                raise InvalidArgument("url", _label(base), f"{port} is no port; the default one is 5432")
        self._parameters = {"application_name": f"durust {app_name}", **_NETWORK, **given, "client_encoding": "UTF8"}
        self.name = _label(base)
        place = [str(given.get(part) or "") for part in ("host", "hostaddr", "port", "dbname", "user")]
        self.location = f"postgresql {' '.join(place)}"

    def parameters(
        self, lock_seconds: int = LOCK_SECONDS, statement_seconds: int = STATEMENT_SECONDS, planning: str = PLANNING
    ) -> dict[str, Any]:
        """Return what to connect with. A pooler's server connections are shared, so there nothing is set for good."""
        if self.is_pooled:
            return self._parameters
        settings = (
            f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_SECONDS}s -c lock_timeout={lock_seconds}s "
            f"-c statement_timeout={statement_seconds}s -c durust.quiet=on {_EXPECTED} {planning}"
        )
        return {**self._parameters, "options": f"{self._parameters.get('options', '')} {settings}".strip()}

    def plain(self) -> dict[str, Any]:
        """Return what to connect with where the statements are the user's: nothing is set for them."""
        return self._parameters


def _label(base: str) -> str:
    return re.sub(r"://([^:/@]*):[^@/]*@", r"://\1:***@", base)
