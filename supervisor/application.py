"""The user's application: modules by name, and at most one engine in them."""

from __future__ import annotations

import importlib
import os
import traceback
from collections.abc import Sequence
from functools import reduce
from pathlib import Path

from durust import DurableEngine


class ApplicationFault(Exception):
    """The application does not load, for a reason that a user can mend."""


def load_engine(modules: Sequence[str]) -> DurableEngine | None:
    """Import *modules* in their order and return the engine that one of them names, as in `shop.app:engine`.

    Raises `ApplicationFault` for whatever user code raises meanwhile, also when it exits.
    """
    engine: DurableEngine | None = None
    for module in modules:
        name, _, attribute = module.partition(":")
        imported = _import(name)
        if attribute:
            try:
                found = reduce(getattr, attribute.split("."), imported)
            except AttributeError as error:
                raise ApplicationFault(f"module {name!r} has no {attribute!r}; name its DurableEngine") from error
            if not isinstance(found, DurableEngine):
                kind = type(found).__name__
                raise ApplicationFault(f"{module} is of type {kind}; name a DurableEngine, or just the module")
            engine = found
    return engine


def _import(name: str) -> object:
    try:
        return importlib.import_module(name)
    except MemoryError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            folder = Path.cwd()
            raise ApplicationFault(
                f"there is no module {name!r} in {folder} or among the installed ones; "
                "run this in the folder that holds it, or install it"
            ) from error
        raise ApplicationFault(_line(name, error)) from error
    except BaseException as error:
        # Also SystemExit and KeyboardInterrupt: a module that ends the process on import does not load either.
        raise ApplicationFault(_line(name, error)) from error


def _line(name: str, error: BaseException) -> str:
    said = " ".join(str(error).split())
    told = f"module {name!r} does not load: {type(error).__name__}" + (f": {said}" if said else "")
    return told if isinstance(error, SyntaxError) else told + _place(error)


def _is_own(path: str, folder: str) -> bool:
    # An environment with other people's libraries often stands in the same folder.
    return path.startswith(folder) and "site-packages" not in path


def _place(error: BaseException) -> str:
    """Return the last line of the user's own code that an import came through; nothing where there is none."""
    folder = f"{Path.cwd()}{os.sep}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_own(frame.filename, folder)]
    return f" ({frames[-1].filename.removeprefix(folder)}, line {frames[-1].lineno})" if frames else ""
