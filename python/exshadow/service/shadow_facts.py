"""A set of the catalog, and a refusal of the volumes, in the words of VSS."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import NAMESPACE_OID, UUID, uuid5

from exshadow.errors import Error, InvalidError, NotFoundError, RefusedError
from exshadow.model import SetRecord
from exshadow.vss.errors import VssError, failure
from exshadow.vss.tables import HResult, SnapshotAttributes, SnapshotState
from exshadow.vss.values import SnapshotProperties

PROVIDER_ID = UUID("6e1a0d52-58c5-4a9e-9d0a-2a7c2f6f5a11")
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)


def refusal_of(problem: Error) -> Error:
    """A refusal in the words of the contract. One that will be the same in ten minutes must not
    have a code that requestors wait for and repeat."""
    if isinstance(problem, VssError):
        return problem
    lasting = isinstance(problem, RefusedError | InvalidError | NotFoundError)
    code = (
        HResult.VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER if lasting else HResult.VSS_E_PROVIDER_VETO
    )
    return failure(code, problem.message)


def snapshot_id(set_id: str, volume: str) -> UUID:
    """The id of one volume's snapshot in a set of the catalog."""
    return uuid5(NAMESPACE_OID, f"{set_id}/{volume}")


def properties_of(one: SetRecord, volume: str, path: str) -> SnapshotProperties:
    created = datetime.fromisoformat(one.created) - _EPOCH
    attributes = (
        SnapshotAttributes.PLEX | SnapshotAttributes.PERSISTENT | SnapshotAttributes.NO_AUTO_RELEASE
    )
    if one.consistency == "crash":
        attributes |= SnapshotAttributes.NO_WRITERS
    return SnapshotProperties(
        snapshot_id=snapshot_id(one.id, volume),
        set_id=UUID(one.id),
        set_size=len(one.members),
        device=path,
        original_volume=volume,
        originating_machine="localhost",
        service_machine="localhost",
        exposed_name="",
        exposed_path="",
        provider_id=PROVIDER_ID,
        attributes=attributes,
        created=created.days * 864_000_000_000
        + created.seconds * 10_000_000
        + created.microseconds * 10,
        state=SnapshotState.CREATED,
    )
