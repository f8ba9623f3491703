"""The database of a supervisor and its workers: one server that is started here, one URL that all of them can use."""

from __future__ import annotations

from dataclasses import replace

from durust.errors import ProviderMisuse
from durust.storage.opening import open_embedded, open_provider
from durust.storage.provider import StateProvider
from durust.supervisor.config import Config

_EMBEDDED = "embedded://"


def open_database(config: Config) -> tuple[StateProvider, Config]:
    """Return the provider of the config's URL, and the config with the URL that its workers are to use.

    Raises `ProviderMisuse` for a database that several processes cannot share, and what `open_provider` raises.
    """
    if config.url.startswith(_EMBEDDED):
        provider, url = open_embedded(config.url, config.settings.app_name)
        return provider, replace(config, url=url)
    provider = open_provider(config.url, app_name=config.settings.app_name)
    if not provider.is_shared:
        name = provider.name
        provider.close()
        reason = "it lives in one process, and `durust up` starts several"
        raise ProviderMisuse(name, reason, "use sqlite:///durust.db or postgresql://...")
    return provider, config
