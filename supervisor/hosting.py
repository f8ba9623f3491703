"""The database of a supervisor and its workers: one server that is started here, one URL that all of them can use."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from durust.errors import InvalidArgument, ProviderMisuse
from durust.storage.opening import open_provider
from durust.storage.provider import StateProvider
from durust.supervisor.config import Config

_EMBEDDED = "embedded://"


def open_database(config: Config) -> tuple[StateProvider, Config]:
    """Return the provider of the config's URL, and the config with the URL that its workers are to use.

    Raises `ProviderMisuse` for a database that several processes cannot share, and what `open_provider` raises.
    """
    if config.url.startswith(_EMBEDDED):
        return _open_embedded(config)
    provider = open_provider(config.url, app_name=config.settings.app_name)
    if not provider.is_shared:
        name = provider.name
        provider.close()
        reason = "it lives in one process, and `durust up` starts several"
        raise ProviderMisuse(name, reason, "use sqlite:///durust.db or postgresql://...")
    return provider, config


def _open_embedded(config: Config) -> tuple[StateProvider, Config]:
    from durust.embedded import default_folder, open_server
    from durust.storage.postgres import PostgresProvider

    host, _, path = config.url.removeprefix(_EMBEDDED).partition("/")
    if host:
        remedy = "write embedded:///absolute/folder, or embedded:// for the default folder"
        raise InvalidArgument("db", config.url, remedy)
    server = open_server(Path("/", unquote(path)) if path else default_folder())
    provider = PostgresProvider(server.url, app_name=config.settings.app_name, server=server)
    return provider, replace(config, url=server.url)
