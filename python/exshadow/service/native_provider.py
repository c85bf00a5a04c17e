"""The native engine as a provider: its plexes are the mirrors, its verbs those of the service.

Mirror ``m1`` of the policy is the plex ``m1`` of every volume of the group. A copy is a file or
device that can be read at any time, so it is always presented. The set's id is given beforehand and
kept in the volume files: a split that is asked for again finds its set.

Settings: ``mirror-path``, where a mirror that does not exist yet is made, as
``/mirrors/{volume}-{mirror}.img`` (also ``{group}``); in the action's options or the provider's.
Options of a restore: ``live`` (also while a client writes), ``force`` is the service's own.

What copies comes back when it has copied, and reports to the service's own reporter; killed, it is
found half done and goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from exshadow.errors import InvalidError, NotFoundError, RefusedError
from exshadow.image_files import errors_as_io
from exshadow.model import UNFINISHED, ChangedMember, Member, PlexRecord, SetRecord, VolumeRecord
from exshadow.providers.contract import Action, Mirror, MirrorState, Source, Stage, Standing, Verb
from exshadow.providers.facts import Capability, CopyKind
from exshadow.service.contract import Service
from exshadow.service.restore import RestoreWish
from exshadow.sparse import data_extents

_COPYING = frozenset({"syncing", "resyncing"})
_MAKING = frozenset({"creating", "splitting"})


class NativeProvider:
    """A :class:`~exshadow.providers.contract.Provider` over the verbs of a service."""

    name = "native"

    def __init__(self, service: Service, settings: Mapping[str, str] | None = None) -> None:
        self._service = service
        self._settings = dict(settings or {})
        self._restored: set[str] = set()  # actions that this instance has seen to their end

    def capability(self, volumes: Sequence[Source]) -> Capability:
        """A full plex that knows its changes. NotFoundError for what is no volume here."""
        for one in volumes:
            self._service.show_volume(one.name)
        return Capability(CopyKind.PLEX, True, True, True, True, True)

    # --- start ---

    def start(self, action: Action) -> None:
        """See the contract; what the volumes refuse is raised as they say it."""
        starts = {
            Verb.PREPARE: self._prepare,
            Verb.SPLIT: self._split,
            Verb.RESYNC: self._resync,
            Verb.RESTORE: self._restore,
            Verb.PROMOTE: lambda asked: self._service.promote_set(
                asked.set_id, live=_yes(asked, "live")
            ),
            Verb.DISSOLVE: lambda asked: self._service.delete_set(asked.set_id),
            Verb.ABORT: self._abort,
            Verb.PRESENT: self._require_set,
            Verb.UNPRESENT: lambda asked: None,
        }
        starts[action.verb](action)

    def _prepare(self, action: Action) -> None:
        for volume in self._volumes(action):
            plex = volume.plex(action.mirror)
            if plex is None:
                path = str(self._place(action, volume.name))
                self._service.add_mirror(volume.name, path, label=action.mirror)
            elif plex.state in UNFINISHED:
                self._service.sync_mirror(volume.name, action.mirror)
            elif plex.state != "in_sync":
                raise RefusedError(_taken(action, volume), hint="resync that set first")

    def _split(self, action: Action) -> None:
        if self._find(action.set_id) is not None:
            return
        volumes = self._volumes(action)
        self._require_whole_group(action)
        for volume in volumes:
            plex = volume.plex(action.mirror)
            if plex is None or plex.state != "in_sync":
                state = plex.state if plex else "not there"
                raise RefusedError(
                    f"mirror {action.mirror} of volume {volume.name} is {state}",
                    hint="prepare it first: only a mirror in sync can be split",
                )
        consistency = "application" if action.writers else "crash"
        label = action.label or None
        with self._service.armed_split(action.group, label=label, plex=action.mirror) as split:
            split(action.set_id, consistency)

    def _require_whole_group(self, action: Action) -> None:
        """A set of the engine holds the whole group: RefusedError when the action names others."""
        every = self._service.list_volumes().volumes.values()
        whole = {one.name for one in every if one.group == action.group}
        asked = {one.name for one in action.volumes}
        if whole != asked:
            raise RefusedError(
                f"group {action.group} has the volumes {', '.join(sorted(whole)) or '(none)'}, "
                f"not {', '.join(sorted(asked))}",
                hint="name exactly these, or adopt the volume with --group",
            )

    def _resync(self, action: Action) -> None:
        try:
            self._service.resync_set(action.set_id)
        except NotFoundError:  # no volume file holds it and no catalog remembers it
            for volume in self._volumes(action):
                plex = volume.plex(action.mirror)
                if plex is not None and plex.state in UNFINISHED:
                    self._service.sync_mirror(volume.name, action.mirror)

    def _restore(self, action: Action) -> None:
        wish = RestoreWish(live=_yes(action, "live"))
        self._service.restore_set(action.set_id, wish)
        self._restored.add(action.id)

    def _abort(self, action: Action) -> None:
        """Of a split: the set goes back into the mirror. Of a preparation: the mirrors go, with the
        files that were made for them."""
        if action.set_id:
            if self._find(action.set_id) is not None:
                self._service.resync_set(action.set_id)
            return
        for volume in self._volumes(action):
            plex = volume.plex(action.mirror)
            if plex is not None and not self._removable(plex):
                raise RefusedError(_taken(action, volume), hint="resync or delete that set first")
            file = self._made_file(action, volume.name, plex)
            with errors_as_io(f"removing {file}"):
                # Before the plex is forgotten: afterwards nobody would know whose file it is.
                if file is not None:
                    file.unlink(missing_ok=True)
            if plex is not None:
                self._service.remove_mirror(volume.name, action.mirror)

    def _require_set(self, action: Action) -> None:
        self._service.show_set(action.set_id)

    # --- standing ---

    def standing(self, action: Action) -> Standing:
        """By the volume files and, of sets that have ended, the catalog."""
        looks = {
            Verb.PREPARE: self._prepared,
            Verb.SPLIT: self._is_split,
            Verb.RESYNC: self._resynced,
            Verb.RESTORE: self._is_restored,
            Verb.PROMOTE: self._promoted,
            Verb.DISSOLVE: self._dissolved,
            Verb.ABORT: self._aborted,
            Verb.PRESENT: self._presented,
            Verb.UNPRESENT: lambda asked: Standing(Stage.DONE),
        }
        return looks[action.verb](action)

    def _prepared(self, action: Action) -> Standing:
        volumes = self._volumes(action)
        plexes = [one.plex(action.mirror) for one in volumes]
        total = sum(one.size for one in volumes)
        left = sum(
            plex.bytes_to_sync if plex else one.size
            for one, plex in zip(volumes, plexes, strict=True)
        )
        for volume, plex in zip(volumes, plexes, strict=True):
            if plex is not None and plex.state not in UNFINISHED | {"in_sync", "splitting"}:
                return Standing(Stage.FAILED, _taken(action, volume))
        if all(plex is not None and plex.state == "in_sync" for plex in plexes):
            return Standing(Stage.DONE, "in sync", total, total)
        stage = _going(volumes, action.mirror)
        if stage is Stage.HALF and all(plex is None for plex in plexes):
            stage = Stage.ABSENT
        return Standing(stage, "not in sync yet", total - left, total)

    def _is_split(self, action: Action) -> Standing:
        one = self._find(action.set_id)
        if one is None:
            if self._ended(action.set_id):
                return Standing(Stage.FAILED, "the set was split and has ended since")
            return Standing(Stage.ABSENT)
        if one.state in _MAKING:
            return Standing(Stage.RUNNING, one.note or one.state)
        if one.state == "failed":
            return Standing(Stage.FAILED, one.note or "a member failed")
        return Standing(Stage.DONE, one.label, members=one.members)

    def _resynced(self, action: Action) -> Standing:
        one = self._find(action.set_id)
        volumes = self._volumes(action)
        if one is not None and one.state in ("ready", "failed"):
            return Standing(Stage.ABSENT)
        plexes = [volume.plex(action.mirror) for volume in volumes]
        if one is None and all(plex is not None and plex.state == "in_sync" for plex in plexes):
            return Standing(Stage.DONE, "in sync")
        if one is None and any(
            plex is None or plex.state not in UNFINISHED | {"in_sync"} for plex in plexes
        ):
            return Standing(Stage.FAILED, f"there is no set {action.set_id} to resync")
        return Standing(_going(volumes, action.mirror), "not in sync yet")

    def _is_restored(self, action: Action) -> Standing:
        one = self._find(action.set_id)
        if one is None:
            return Standing(Stage.FAILED, f"there is no set {action.set_id}")
        if one.state == "restoring":
            volumes = self._volumes(action)
            left = sum(volume.bytes_to_move for volume in volumes)
            running = any(volume.owner for volume in volumes)
            return Standing(Stage.RUNNING if running else Stage.HALF, f"{left} bytes left")
        if one.state != "ready":
            return Standing(Stage.FAILED, f"the set is {one.state}")
        if action.id in self._restored:
            return Standing(Stage.DONE, members=one.members)
        changed = sum(member.bytes for member in self._service.diff_set(one.id))
        if changed == 0:
            return Standing(Stage.DONE, "production is the set", members=one.members)
        return Standing(Stage.ABSENT, f"{changed} bytes differ at most")

    def _promoted(self, action: Action) -> Standing:
        one = self._find(action.set_id)
        if one is not None and one.state == "ready":
            return Standing(Stage.ABSENT)
        held = {volume.name: volume.plex(action.mirror) for volume in self._volumes(action)}
        done = {name: plex for name, plex in held.items() if plex and plex.authority}
        if one is None and len(done) == len(held):
            members = (
                Member(name, plex.label, plex.path, plex.size) for name, plex in done.items()
            )
            return Standing(Stage.DONE, "production", members=tuple(members))
        if one is not None:
            return Standing(Stage.HALF, one.note)
        return Standing(Stage.FAILED, f"there is no set {action.set_id}")

    def _dissolved(self, action: Action) -> Standing:
        one = self._find(action.set_id)
        if one is None:
            return Standing(Stage.DONE)
        return Standing(Stage.ABSENT if one.state == "ready" else Stage.HALF, one.note)

    def _aborted(self, action: Action) -> Standing:
        volumes = self._volumes(action)
        if action.set_id:
            one = self._find(action.set_id)
            if one is not None:
                return Standing(Stage.ABSENT if one.state == "ready" else Stage.HALF, one.state)
            return Standing(Stage.DONE)
        for volume in volumes:
            plex = volume.plex(action.mirror)
            if plex is not None or self._made_file(action, volume.name, plex) is not None:
                return Standing(Stage.HALF, f"volume {volume.name} has something of it")
        return Standing(Stage.DONE)

    def _presented(self, action: Action) -> Standing:
        one = self._find(action.set_id)
        if one is None:
            return Standing(Stage.FAILED, f"there is no set {action.set_id}")
        return Standing(Stage.DONE, members=one.members)

    # --- the rest of the contract ---

    def mirrors(self, group: str, volumes: Sequence[Source]) -> tuple[Mirror, ...]:
        """Every plex label of these volumes that is not production itself."""
        records = [self._service.show_volume(one.name) for one in volumes]
        labels = {plex.label for one in records for plex in one.plexes if not plex.authority}
        return tuple(_mirror(label, records) for label in sorted(labels))

    def changed(self, action: Action) -> tuple[ChangedMember, ...] | None:
        """By the change maps: a superset of what differs."""
        return tuple(self._service.diff_set(action.set_id))

    def documents(self, action: Action) -> Mapping[str, bytes]:
        """None: the volume files have all that a restore needs."""
        return {}

    # --- what is there ---

    def _volumes(self, action: Action) -> list[VolumeRecord]:
        return [self._service.show_volume(one.name) for one in action.volumes]

    def _find(self, set_id: str) -> SetRecord | None:
        """The set, None when it has ended or never was."""
        every = self._service.list_sets().sets
        return next((one for one in every if one.id == set_id), None)

    def _ended(self, set_id: str) -> bool:
        every = self._service.list_sets(everything=True).sets
        return any(one.id == set_id for one in every)

    def _place(self, action: Action, volume: str) -> Path:
        """Where a mirror is made. InvalidError when no setting tells."""
        pattern = action.options.get("mirror-path") or self._settings.get("mirror-path")
        words = {"volume": volume, "mirror": action.mirror, "group": action.group}
        if not pattern:
            raise InvalidError(
                f"volume {volume} has no mirror {action.mirror}, and nothing says where to make it",
                hint='provider.options.mirror-path = "/mirrors/{volume}-{mirror}.img"',
            )
        try:
            return Path(pattern.format_map(words))
        except (KeyError, ValueError, IndexError) as problem:
            raise InvalidError(
                f"mirror-path {pattern!r} is no pattern: {problem}",
                hint="it may hold {volume}, {mirror} and {group}",
            ) from problem

    def _made_file(self, action: Action, volume: str, plex: PlexRecord | None) -> Path | None:
        """The file that a preparation made, if it is there: the plex's where the setting puts it,
        or one without any data that was not made a plex any more. Others are somebody's."""
        if not (action.options.get("mirror-path") or self._settings.get("mirror-path")):
            return None
        place = self._place(action, volume)
        if not place.is_file() or place.is_symlink():
            return None
        if plex is not None:
            return place if Path(plex.path) == place.absolute() else None
        with errors_as_io(f"reading {place}"):
            return place if not self._is_used(place) and not data_extents(str(place)) else None

    def _is_used(self, place: Path) -> bool:
        volumes = self._service.list_volumes().volumes.values()
        paths = {plex.path for one in volumes for plex in one.plexes}
        return str(place.absolute()) in paths

    @staticmethod
    def _removable(plex: PlexRecord) -> bool:
        return plex.state in UNFINISHED or (plex.state == "in_sync" and not plex.authority)


def _yes(action: Action, option: str) -> bool:
    return action.options.get(option, "") in ("yes", "true", "1")


def _taken(action: Action, volume: VolumeRecord) -> str:
    holds = next((one.label for one in volume.snapshots if one.plex == action.mirror), "another")
    return f"mirror {action.mirror} of volume {volume.name} is set {action.group}@{holds}"


def _going(volumes: Sequence[VolumeRecord], label: str) -> Stage:
    """Whether somebody, a daemon, copies to an unfinished mirror now."""
    for volume in volumes:
        plex = volume.plex(label)
        if plex is not None and plex.state in _COPYING and volume.owner:
            return Stage.RUNNING
    return Stage.HALF


def _mirror(label: str, volumes: Sequence[VolumeRecord]) -> Mirror:
    """The least advanced of the volumes counts."""
    plexes = [one.plex(label) for one in volumes]
    held = {
        snapshot.set_id: snapshot.state
        for one in volumes
        for snapshot in one.snapshots
        if snapshot.plex == label
    }
    paths = tuple(plex.path for plex in plexes if plex)
    states = {plex.state if plex else "none" for plex in plexes}
    set_id = next(iter(held)) if len(held) == 1 else ""
    if "restoring" in held.values():
        return Mirror(label, MirrorState.RESTORING, set_id=set_id, presented=paths)
    if states == {"split"}:
        return Mirror(label, MirrorState.SPLIT, set_id=set_id, presented=paths)
    if states == {"in_sync"}:
        return Mirror(label, MirrorState.READY)
    if states == {"none"}:
        return Mirror(label, MirrorState.NONE)
    notes = "; ".join(plex.note for plex in plexes if plex and plex.note)
    if states <= UNFINISHED | {"in_sync", "none", "splitting"}:
        size = sum(one.size for one in volumes)
        left = sum(
            plex.bytes_to_sync if plex else one.size
            for one, plex in zip(volumes, plexes, strict=True)
        )
        percent = 100 * (size - left) // max(size, 1)
        return Mirror(label, MirrorState.SYNCING, percent, set_id, detail=notes)
    return Mirror(label, MirrorState.BROKEN, set_id=set_id, detail=notes or "volumes differ")
