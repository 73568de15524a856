"""The library of Kennel: from footage in a bucket to Lance tables, usable without Dagster.

Nothing under this package imports Dagster, `resources` or `assets`. What a notebook needs stands
here by name, and is imported when it is first used:

    import lakehouse
    with lakehouse.open(lake="/data/lake") as kennel:
        kennel.search("a corridor")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lakehouse.query.asked import By, Filters, Query
    from lakehouse.query.opened import Opened
    from lakehouse.query.opened import open_ as open

__all__ = ["By", "Filters", "Opened", "Query", "open"]

_PLACES = {
    "By": ("lakehouse.query.asked", "By"),
    "Filters": ("lakehouse.query.asked", "Filters"),
    "Opened": ("lakehouse.query.opened", "Opened"),
    "Query": ("lakehouse.query.asked", "Query"),
    "open": ("lakehouse.query.opened", "open_"),
}


def __getattr__(name: str) -> Any:
    # Lance takes two seconds to import: who imports a small part of the library must not wait.
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    module, attribute = _PLACES[name]
    return getattr(import_module(module), attribute)
