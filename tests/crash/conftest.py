"""The fixtures of the crash matrix."""

from tests.crash.databases import source
from tests.crash.stage import stage

__all__ = ["source", "stage"]
