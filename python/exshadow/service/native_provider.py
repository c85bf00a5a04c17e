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

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from exshadow.errors import ExistsError, InvalidError, NotFoundError, RefusedError, UnsupportedError
from exshadow.image_files import errors_as_io
from exshadow.model import UNFINISHED, ChangedMember, PlexRecord, SetRecord, VolumeRecord
from exshadow.providers.contract import (
    Action,
    Mirror,
    MirrorState,
    Provider,
    Source,
    Stage,
    Standing,
    Verb,
)
from exshadow.providers.facts import Capability, CopyKind
from exshadow.service import native_standing
from exshadow.service.contract import Service
from exshadow.service.restore import RestoreWish
from exshadow.service.snapshots import Split
from exshadow.sparse import data_extents


class NativeProvider:
    """A :class:`~exshadow.providers.contract.Provider` over the verbs of a service."""

    name = "native"

    def __init__(self, service: Service, settings: Mapping[str, str] | None = None) -> None:
        self._service = service
        self._settings = dict(settings or {})
        self._restored: set[str] = set()  # actions that this instance has seen to their end
        self._armed: Split | None = None

    def capability(self, volumes: Sequence[Source]) -> Capability:
        """A full plex that knows its changes. NotFoundError for what is no volume here."""
        for one in volumes:
            self._service.show_volume(one.name)
        return Capability(CopyKind.PLEX, True, True, True, True, True)

    def identity(self, volume: Source) -> str:
        """The id in the volume file."""
        return self._service.show_volume(volume.name).uuid

    # --- start ---

    def start(self, action: Action) -> None:
        """See the contract; what the volumes refuse is raised as they say it."""
        match action.verb:
            case Verb.PREPARE:
                self._prepare(action)
            case Verb.SPLIT:
                self._split(action)
            case Verb.RESYNC:
                self._resync(action)
            case Verb.RESTORE:
                self._restore(action)
            case Verb.PROMOTE:
                self._service.promote_set(action.set_id, live=_yes(action, "live"))
            case Verb.DISSOLVE:
                self._service.delete_set(action.set_id)
            case Verb.ABORT:
                self._abort(action)
            case Verb.PRESENT:
                self._service.show_set(action.set_id)  # NotFoundError
            case Verb.UNPRESENT:
                pass
            case Verb.LEND | Verb.RECALL:
                raise cannot_lend()

    def _prepare(self, action: Action) -> None:
        for volume in self._volumes(action):
            plex = volume.plex(action.mirror)
            if plex is None:
                self._add(action, volume.name)
            elif plex.state in UNFINISHED:
                self._service.sync_mirror(volume.name, action.mirror)
            elif plex.state != "in_sync":
                raise RefusedError(
                    native_standing.taken(action, volume), hint="resync that set first"
                )

    def _add(self, action: Action, volume: str) -> None:
        path = str(self._place(action, volume))
        try:
            self._service.add_mirror(volume, path, label=action.mirror)
        except ExistsError as problem:
            again = f"exshadow mirror add {volume} {path} --label {action.mirror} --overwrite"
            problem.hint = f"move it away; or, if nobody needs it: {again}"
            raise

    def _split(self, action: Action) -> None:
        consistency = "application" if action.writers else "crash"
        if self._armed is not None:
            self._armed(action.set_id, consistency)
            return
        if self._find(action.set_id) is not None:
            return
        with self.armed(action):
            self._split(action)

    @contextmanager
    def armed(self, action: Action) -> Iterator[None]:
        """Everything about a split that takes long or may be refused, done beforehand: within, its
        start only splits. Its set's id need not be known yet."""
        self._require_whole_group(action)
        for volume in self._volumes(action):
            plex = volume.plex(action.mirror)
            if plex is None or plex.state != "in_sync":
                state = plex.state if plex else "not there"
                raise RefusedError(
                    f"mirror {action.mirror} of volume {volume.name} is {state}",
                    hint="prepare it first: only a mirror in sync can be split",
                )
        label = action.label or None
        with self._service.armed_split(action.group, label=label, plex=action.mirror) as split:
            self._armed = split
            try:
                yield
            finally:
                self._armed = None

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
                raise RefusedError(
                    native_standing.taken(action, volume), hint="resync or delete that set first"
                )
            file = self._made_file(action, volume.name, plex)
            with errors_as_io(f"removing {file}"):
                # Before the plex is forgotten: afterwards nobody would know whose file it is.
                if file is not None:
                    file.unlink(missing_ok=True)
            if plex is not None:
                self._service.remove_mirror(volume.name, action.mirror)

    def standing(self, action: Action) -> Standing:
        """By the volume files and, of sets that have ended, the catalog."""
        if action.verb is Verb.RESTORE and action.id in self._restored:
            return Standing(Stage.DONE, "production was the set")
        if action.verb is Verb.ABORT and not action.set_id:
            return self._aborted(action)
        return native_standing.look(self._service, action)

    def _aborted(self, action: Action) -> Standing:
        for volume in self._volumes(action):
            plex = volume.plex(action.mirror)
            if plex is not None or self._made_file(action, volume.name, plex) is not None:
                return Standing(Stage.HALF, f"volume {volume.name} has something of it")
        return Standing(Stage.DONE)

    # --- the rest of the contract ---

    def mirrors(self, group: str, volumes: Sequence[Source]) -> tuple[Mirror, ...]:
        """Every plex label of these volumes that is not production itself."""
        records = [self._service.show_volume(one.name) for one in volumes]
        labels = {plex.label for one in records for plex in one.plexes if not plex.authority}
        return tuple(native_standing.mirror(label, records) for label in sorted(labels))

    def production(self, volumes: Sequence[Source]) -> frozenset[str]:
        """Labels of plexes that are production itself, by a promotion say: they are no mirrors."""
        records = [self._service.show_volume(one.name) for one in volumes]
        return frozenset(plex.label for one in records for plex in one.plexes if plex.authority)

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
        return native_standing.find(self._service, set_id)

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


def no_mirrors(
    provider: Provider, volumes: Sequence[Source], labels: Collection[str]
) -> dict[str, Mirror]:
    """Of the policy's mirrors those that are production itself, by a promotion say: nobody's turn,
    and nothing to be prepared."""
    asked: Callable[[Sequence[Source]], frozenset[str]] | None
    asked = getattr(provider, "production", None)
    there = sorted(asked(volumes) & set(labels)) if asked is not None else []
    if not there:
        return {}
    said = "production itself (from the beginning, or since a set of it was promoted)"
    others = [
        one.label
        for one in provider.mirrors("", volumes)
        if one.label not in labels and one.state is not MirrorState.SPLIT
    ]
    if others:
        said += f": in its place the policy can name {', '.join(others)}"
    return {one: Mirror(one, MirrorState.BROKEN, detail=said) for one in there}


def cannot_lend() -> UnsupportedError:
    """Why a set of the engine is lent to nobody."""
    return UnsupportedError(
        "a set of the native engine goes to no other host: its copies are read where they are",
        hint="exshadow serve offers it as an NBD export; or: exshadow snapshot export",
    )


def _yes(action: Action, option: str) -> bool:
    return action.options.get(option, "") in ("yes", "true", "1")
