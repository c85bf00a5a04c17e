"""Which sets another host has, by the journal: no array is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exshadow.catalog.journal import CatalogJournal
from exshadow.providers.contract import Verb

if TYPE_CHECKING:
    from exshadow.catalog.store import Catalog


def lent_sets(catalog: Catalog) -> dict[str, str]:
    """By set the host that it was lent to and not recalled from. What a lending that broke off has
    done nobody knows, so it counts; a recall counts when it is done."""
    found: dict[str, str] = {}
    for entry in CatalogJournal(catalog, "").of_verbs(Verb.LEND, Verb.RECALL):
        action = entry.action
        if action.verb is Verb.LEND and entry.state != "undone":
            found[action.set_id] = action.options.get("host", "another host")
        elif action.verb is Verb.RECALL and entry.state == "done":
            found.pop(action.set_id, None)
    return found
