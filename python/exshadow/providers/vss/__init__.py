"""Any VSS provider of a Windows host: in-box, of an array, or of a volume manager."""

from exshadow.providers.vss.provider import VssProvider, build

__all__ = ["VssProvider", "build"]
