"""The catalog: what sets exist, how they were verified, what jobs moved and how long they took."""

from exshadow.catalog.opening import Opened, open_catalog, open_for_reading
from exshadow.catalog.store import Catalog

__all__ = ["Catalog", "Opened", "open_catalog", "open_for_reading"]
