"""What a provider is tried on: production volumes with bytes, a product (real or a
simulator), and ways to look at both. One bed a provider; test_provider_conformance.py runs the same
tests on all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from exshadow.model import Member
from exshadow.providers.contract import Provider, Source


class Bed(ABC):
    """Made fresh for each test in a folder of its own; group ``mail`` with volumes ``db`` and
    ``logs``, mirrors ``m1`` and ``m2``."""

    name: str
    group = "mail"
    mirrors = ("m1", "m2")
    other_host = ""
    """A host that sets can be lent to; empty where the product lends none."""
    third_host = ""
    """Another such host."""
    copies_of_mirrors: int
    """How many copies :meth:`copies` has while both mirrors are prepared, and no set."""

    copies_of_a_set = 0
    """How many come with each set and go with it; 0 where mirrors are there before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def again(cls, folder: Path) -> Bed:
        """The bed that another process made in the folder, as it is there now."""
        bed = cls.__new__(cls)
        Bed.__init__(bed, folder)
        bed.resume()
        return bed

    def resume(self) -> None:  # noqa: B027
        """What ``__init__`` remembers, without making anything: after :meth:`again`."""

    @property
    @abstractmethod
    def sources(self) -> tuple[Source, ...]:
        """The group's volumes; each has some MiB."""

    @property
    def other_paths(self) -> dict[str, str]:
        """Other names of the same volumes, where the product knows any."""
        return {}

    @property
    def nowhere(self) -> str:
        """Where no volume is."""
        return str(self.folder / "nowhere")

    @abstractmethod
    def provider(self) -> Provider:
        """A new instance that knows nothing but the product's state: as after a crash."""

    @abstractmethod
    def write(self, volume: str, offset: int, data: bytes) -> None:
        """As the application writes to production, durable."""

    @abstractmethod
    def read(self, volume: str) -> bytes:
        """All bytes that the application sees."""

    @abstractmethod
    def copies(self) -> Sequence[str]:
        """Every copy that exists in the product or on disk, for the count of orphans: sorted names
        that do not change while nothing is made or removed."""

    def read_copy(self, member: Member) -> bytes:
        """Bytes of a presented copy."""
        return Path(member.path).read_bytes()

    def hold(self) -> None:  # noqa: B027
        """From now on the product's background work (syncs) stands still, where it can."""

    def release(self) -> None:  # noqa: B027
        """It goes on."""

    def close(self) -> None:  # noqa: B027
        """Ends what the bed started."""
