"""Sets on another host: their disks in a disk group of their own, which is imported there.

    split_off, release  ->  (other host) take, work on it, release  ->  take, bring_back

Whole disks move; no copy of them may be mounted; both groups keep a disk. Once back, the set is
resynced as any other. Every step may be repeated: it is looked at first. The verbs that are made of
these steps are in lending.py.
"""

from __future__ import annotations

from exshadow.errors import ExistsError, InvalidError, NotFoundError, RefusedError
from exshadow.names import check_name
from exshadow.providers.contract import Action
from exshadow.providers.sfw import rules
from exshadow.providers.sfw.look import Copy, Ground, Look
from exshadow.providers.sfw.settling import ensure


def may_leave(ground: Ground, action: Action, new_group: str) -> tuple[list[Copy], str]:
    """The set's copies and the one disk group that they are all in. RefusedError for what the
    product would refuse, NotFoundError for copies that are not here."""
    check_name(new_group, "disk group")
    look = Look(ground)
    copies = look.copies(action, ground.records.read(action.set_id))
    rules.whole(copies, action)
    rules.at_home(copies)
    rules.unmounted(copies)
    homes = {copy.home for copy in copies}
    if len(homes) > 1:
        raise RefusedError(
            f"the set lies in disk groups {', '.join(sorted(homes))}; one group can be split",
            hint="keep the volumes of a set that leaves the host in one disk group",
        )
    home = homes.pop()
    if new_group in ground.product.groups():
        raise ExistsError(f"there is a disk group {new_group} already", hint="choose another name")
    _whole_disks(look, copies, home)
    return copies, home


def split_off(ground: Ground, action: Action, new_group: str) -> None:
    """Move the set's snapshot volumes and their disks into a disk group of their own."""
    there = Look(ground).copies(action, ground.records.read(action.set_id))
    if all(copy.where == new_group and copy.exists for copy in there):
        return
    copies, home = may_leave(ground, action, new_group)
    said = ground.product.do(
        "group_split",
        group=home,
        new=new_group,
        volumes=[{"volume": copy.name} for copy in copies],
    )
    ground.product.do("rescan")

    def moved() -> bool:
        now = Look(ground).copies(action, ground.records.read(action.set_id))
        return all(copy.where == new_group for copy in now)

    ensure(ground, said, moved, f"the set is not in disk group {new_group}")


def _whole_disks(look: Look, copies: list[Copy], home: str) -> None:
    """No disk of the set has something else that is known here."""
    moving = {copy.name for copy in copies}
    disks = {
        disk
        for copy in copies
        if copy.snapshot
        for plex in copy.snapshot.plexes
        for disk in plex.disks
    }
    staying = [copy.production for copy in copies if copy.production]
    for pair in look.pairs(home):
        if pair.snapshot[1] not in moving and (other := look.volume(pair.snapshot[1], home)):
            staying.append(other)
    for volume in staying:
        for plex in volume.plexes:
            if shared := disks & set(plex.disks):
                raise RefusedError(
                    f"whole disks move, and {', '.join(sorted(shared))} also has {plex.name} of "
                    f"{volume.name}",
                    hint="give every mirror disks of its own",
                )


def release(ground: Ground, group: str) -> None:
    """This host lets go of the group (deport). RefusedError while a copy in it is mounted."""
    if not _imported(ground, group):
        return
    _unmounted(ground, group)
    said = ground.product.do("group_deport", group=group)
    ensure(
        ground,
        said,
        lambda: not _imported(ground, group),
        f"disk group {group} is still imported here",
    )


def _imported(ground: Ground, group: str) -> bool:
    known = ground.product.groups()
    return group in known and known[group].imported


def _unmounted(ground: Ground, group: str) -> None:
    """Snapshot volumes are what the group was split off for; other volumes are not listed."""
    look = Look(ground)
    for pair in look.pairs(group):
        home, name = pair.snapshot
        volume = look.volume(name, home) if home == group else None
        if volume and volume.places:
            raise RefusedError(
                f"{name} of disk group {group} is still mounted at {', '.join(volume.places)}",
                hint="take it back first (unpresent)",
            )


def take(ground: Ground, group: str, *, free_elsewhere: bool = False) -> None:
    """This host imports the group. The spelling that is known forces it (-f -C), also away from a
    host that uses it, which then loses data: RefusedError without the word that nobody does."""
    ground.product.do("rescan")
    known = ground.product.groups()
    if group in known and known[group].imported:
        return
    if group not in known:
        raise NotFoundError(
            f"no disk of disk group {group} is seen by this host", hint="look at the zoning"
        )
    if not free_elsewhere:
        raise RefusedError(
            f"the import of disk group {group} is forced, also away from a host that uses it",
            hint="make sure that every other host has let go of it (vxdg deport), and say so",
        )
    said = ground.product.do("group_import", group=group)
    found = f"disk group {group} is not imported here"
    ensure(ground, said, lambda: _imported(ground, group), found)


def bring_back(ground: Ground, group: str, into: str) -> None:
    """Join the group with the one it came from. Both are imported here; RefusedError while a copy
    in it is mounted."""
    if group == into:
        raise InvalidError("a disk group cannot be joined with itself")
    known = ground.product.groups()
    if into not in known or not known[into].imported:
        raise NotFoundError(f"disk group {into} is not imported here", hint="import it first")
    if group not in known:
        return
    if not known[group].imported:
        raise RefusedError(
            f"disk group {group} is not imported here",
            hint=f"import it first: vxdg -g {group} -f -C import",
        )
    _unmounted(ground, group)
    said = ground.product.do("group_join", group=group, into=into)
    ground.product.do("rescan")
    found = f"disk group {group} is still there"
    ensure(ground, said, lambda: group not in ground.product.groups(), found)
