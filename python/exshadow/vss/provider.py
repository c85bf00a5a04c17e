"""Provider: what makes the snapshots, in the form of VSS's software providers.

Subclass it and implement the steps of a set, which come in the order of their declaration. They
run on a thread of the coordinator and may block; a step that takes longer than its limit is
abandoned, and ``abort_snapshots`` may come while it still runs. Raise :func:`exshadow.vss.failure`
with a code that providers may give (VSS_E_PROVIDER_VETO, VSS_E_INSUFFICIENT_STORAGE, ...); other
exceptions become VSS_E_UNEXPECTED_PROVIDER_ERROR with their text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints
from uuid import UUID

from exshadow.errors import InvalidError
from exshadow.vss.documents import RecordedSnapshot
from exshadow.vss.errors import VssError, failure
from exshadow.vss.plain import Plain, from_plain, to_plain
from exshadow.vss.tables import BreakFlags, HResult, ProviderType, RecoveryFlags, SnapshotAttributes
from exshadow.vss.values import Exposure, ProviderProperties, SnapshotProperties
from exshadow.vss.writer import text_of


@dataclass(frozen=True, slots=True)
class SnapshotRequest:
    """One volume of a set that is to be made."""

    set_id: UUID
    snapshot_id: UUID
    volume: str
    attributes: SnapshotAttributes


@dataclass(frozen=True, slots=True)
class ResyncPair:
    """A snapshot and the volume it is to overwrite; empty: the one it was made of."""

    snapshot_id: UUID
    destination: str = ""


@dataclass(frozen=True, slots=True)
class ProviderFacts:
    """Who a provider is and what it can do."""

    properties: ProviderProperties
    differential: bool = True
    plex: bool = True
    transportable: bool = False
    breaks: bool = False
    reverts: bool = False
    resyncs: bool = False
    exposes: bool = False


class Provider(ABC):
    """Subclass it."""

    provider_id: UUID
    name: str
    version: str = "1.0"
    type: ProviderType = ProviderType.SOFTWARE
    differential: bool = True
    """Can make copy-on-write snapshots."""
    plex: bool = True
    """Can split full copies off."""
    transportable: bool = False
    """Its sets may be imported elsewhere; hardware providers only."""
    breaks: bool = False
    reverts: bool = False
    resyncs: bool = False
    exposes: bool = False

    @abstractmethod
    def is_volume_supported(self, volume: str, attributes: SnapshotAttributes) -> bool:
        """VSS_E_OBJECT_NOT_FOUND: there is no such volume."""

    def snapshot_id(self, set_id: UUID, volume: str, proposed: UUID) -> UUID:
        """The id that the snapshot will have: the one proposed, or one of your own when you cannot
        keep ids. It must be the one that `query` shows, now and in later processes."""
        return proposed

    @abstractmethod
    def begin_prepare_snapshot(self, request: SnapshotRequest) -> None:
        """Start what is slow and come back quickly."""

    def end_prepare_snapshots(self, set_id: UUID) -> None:  # noqa: B027
        """Wait until all is ready."""

    def pre_commit_snapshots(self, set_id: UUID) -> None:  # noqa: B027
        """The writers are frozen."""

    @abstractmethod
    def commit_snapshots(self, set_id: UUID) -> None:
        """The point in time; must be quick."""

    def post_commit_snapshots(self, set_id: UUID, count: int) -> None:  # noqa: B027
        """Writes flow again."""

    def pre_final_commit_snapshots(self, set_id: UUID) -> None:  # noqa: B027
        """The snapshots may still be repaired."""

    def post_final_commit_snapshots(self, set_id: UUID) -> None:  # noqa: B027
        """Read-only from now on."""

    @abstractmethod
    def abort_snapshots(self, set_id: UUID) -> None:
        """Undo a set that is being made; ignored for a finished one."""

    @abstractmethod
    def query(self) -> Sequence[SnapshotProperties]:
        """All finished snapshots."""

    @abstractmethod
    def delete_snapshot(self, snapshot: UUID, force: bool) -> None:
        """Drop one."""

    def break_snapshot_set(self, set_id: UUID, flags: BreakFlags) -> None:
        """Where `breaks`."""
        raise failure(HResult.E_NOTIMPL, self.name)

    def import_snapshot(self, recorded: RecordedSnapshot) -> SnapshotProperties:
        """Where `transportable`."""
        raise failure(HResult.E_NOTIMPL, self.name)

    def expose_snapshot(self, snapshot: UUID, path_from_root: str, how: Exposure, name: str) -> str:
        """Where `exposes`: the name it got."""
        raise failure(HResult.E_NOTIMPL, self.name)

    def unexpose_snapshot(self, snapshot: UUID) -> None:
        """Where `exposes`."""
        raise failure(HResult.E_NOTIMPL, self.name)

    def revert_to_snapshot(self, snapshot: UUID, force_dismount: bool) -> None:
        """Where `reverts`: begin it."""
        raise failure(HResult.E_NOTIMPL, self.name)

    def query_revert_status(self, volume: str) -> None:
        """Where `reverts`: return when it has ended."""
        raise failure(HResult.E_NOTIMPL, self.name)

    def resync(self, pairs: list[ResyncPair], flags: RecoveryFlags) -> None:
        """Where `resyncs`."""
        raise failure(HResult.E_NOTIMPL, self.name)


def facts_of(provider: Provider) -> ProviderFacts:
    """From the provider's attributes; InvalidError when one is missing."""
    if not isinstance(provider, Provider):
        raise InvalidError(
            f"{provider!r:.100} is no exshadow.vss.Provider",
            hint="give an object of a subclass of it",
        )
    for needed in ("provider_id", "name"):
        if not getattr(provider, needed, None):
            raise InvalidError(
                f"{type(provider).__name__} has no {needed}",
                hint=f"set it as a class attribute: {needed} = ...",
            )
    return ProviderFacts(
        ProviderProperties(
            provider.provider_id, provider.name, provider.type, version=provider.version
        ),
        differential=provider.differential,
        plex=provider.plex,
        transportable=provider.transportable,
        breaks=provider.breaks,
        reverts=provider.reverts,
        resyncs=provider.resyncs,
        exposes=provider.exposes,
    )


def answer_provider(
    provider: Provider, method: str, arguments: tuple[Plain, ...]
) -> tuple[int, str, Plain]:
    """Make one call; what it raises becomes its answer: HRESULT, text, value. On the coordinator's
    thread."""
    try:
        kinds = _argument_types(method)
        typed = [from_plain(kind, one) for kind, one in zip(kinds, arguments, strict=True)]
        return 0, "", to_plain(getattr(provider, method)(*typed))
    except VssError as error:
        return (
            int(error.hresult),
            error.context or error.message,
            None,
        )
    except BaseException as error:
        code = HResult.VSS_E_UNEXPECTED_PROVIDER_ERROR
        return int(code), f"{method}: {text_of(error)}", None


def _argument_types(method: str) -> list[Any]:
    hints = get_type_hints(getattr(Provider, method))
    return [kind for name, kind in hints.items() if name != "return"]
