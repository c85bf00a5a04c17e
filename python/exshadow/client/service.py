"""The verbs of :class:`~exshadow.service.contract.Service`, done by a running daemon."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Self

from exshadow import wire
from exshadow.client.following import Ended, follow
from exshadow.client.line import Line, part
from exshadow.errors import Error, IntegrityError, InvalidError, NotFoundError
from exshadow.model import ChangedMember, JobRecord, Json, Plan, SetRecord, VolumeRecord
from exshadow.service.checks.wish import CheckWish
from exshadow.service.conflicts import absolute
from exshadow.service.drills.wish import Drilled, DrillWish
from exshadow.service.export_onto import Onto, OntoWish
from exshadow.service.mirrors import Compared
from exshadow.service.reporter import Reporter
from exshadow.service.restore import Restored, RestoreWish
from exshadow.service.snapshots import HOLD_SECONDS, LATEST_SPLIT, Listing, Split
from exshadow.service.state import Survey
from exshadow.service.transfer import Exported
from exshadow.service.verify import BYTES, Verified


def connect_service(
    control_socket: Path, reporter: Reporter, *, force: bool = False
) -> RemoteService | None:
    """The daemon's verbs; None when no daemon answers (a killed one left its socket).

    PermissionRefusedError when it is another user's.
    """
    try:
        line = Line(control_socket)
    except NotFoundError:
        return None
    return RemoteService(line, reporter, force=force)


class RemoteService:
    """Used by one thread. Paths are made absolute here: the daemon has another working folder."""

    def __init__(self, line: Line, reporter: Reporter, *, force: bool = False) -> None:
        self._line = line
        self._reporter = reporter
        self._force = force

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()

    def _heard(self, answer: Json) -> Json:
        for text in answer.get("notes", ()):
            self._reporter.note(text)
        return answer

    def _follow(self, answer: Json) -> Ended:
        return follow(self._line, answer, self._reporter)

    def _job(self, path: str, /, **body: Any) -> JobRecord:
        answer = self._line.post(path, {**body, "force": self._force})
        return wire.job(self._follow(answer).value()["job"])

    # --- volumes ---

    def add_volume(
        self,
        name: str,
        path: str,
        *,
        group: str | None = None,
        region_size: int = 65536,
        metadata_copy: str | None = None,
    ) -> VolumeRecord:
        body = {
            "name": name,
            "path": absolute(path),
            "group": group,
            "region_size": region_size,
            "metadata_copy": absolute(metadata_copy) if metadata_copy else None,
            "force": self._force,
        }
        return wire.volume(self._heard(self._line.post("/v1/volumes", body))["volume"])

    def list_volumes(self) -> Survey:
        return _survey(self._line.get("/v1/volumes"))

    def show_volume(self, name: str) -> VolumeRecord:
        return wire.volume(self._line.get(_volume(name))["volume"])

    def volume_removal(self, name: str) -> Plan:
        answer = self._line.delete(_volume(name), force=self._force, dry_run=True)
        return wire.plan(answer["plan"])

    def remove_volume(self, name: str, *, break_sets: bool = False) -> None:
        answer = self._line.delete(_volume(name), force=self._force, break_sets=break_sets)
        self._heard(answer)

    # --- mirrors ---

    def mirror_plan(
        self, volume: str, path: str, label: str | None = None, *, overwrite: bool = False
    ) -> Plan:
        body = {
            "path": absolute(path),
            "label": label,
            "overwrite": overwrite,
            "force": self._force,
        }
        return wire.plan(self._line.post(f"{_volume(volume)}/plexes", body, dry_run=True)["plan"])

    def add_mirror(
        self,
        volume: str,
        path: str,
        *,
        label: str | None = None,
        limit: int | None = None,
        overwrite: bool = False,
    ) -> JobRecord:
        url = f"{_volume(volume)}/plexes"
        return self._job(url, path=absolute(path), label=label, limit=limit, overwrite=overwrite)

    def sync_plan(self, volume: str, label: str | None = None) -> Plan:
        body = {"label": label}
        return wire.plan(self._line.post(f"{_volume(volume)}/sync", body, dry_run=True)["plan"])

    def sync_mirror(
        self, volume: str, label: str | None = None, *, limit: int | None = None
    ) -> JobRecord:
        return self._job(f"{_volume(volume)}/sync", label=label, limit=limit)

    def mirror_removal(self, volume: str, label: str) -> Plan:
        url = f"{_volume(volume)}/plexes/{part(label)}"
        return wire.plan(self._line.delete(url, dry_run=True)["plan"])

    def remove_mirror(self, volume: str, label: str) -> None:
        url = f"{_volume(volume)}/plexes/{part(label)}"
        self._heard(self._line.delete(url, force=self._force))

    def repair_plan(self, volume: str, source: str | None = None) -> Plan:
        body = {"repair": True, "source": source}
        return wire.plan(self._line.post(f"{_volume(volume)}/verify", body, dry_run=True)["plan"])

    def verify_mirror(
        self, volume: str, *, repair: bool = False, source: str | None = None
    ) -> Compared:
        body = {"repair": repair, "source": source, "force": self._force}
        ended = self._follow(self._line.post(f"{_volume(volume)}/verify", body))
        result = ended.result if ended.result is not None else ended.value()
        differences = tuple((offset, length) for offset, length in result["differences"])
        return Compared(wire.job(result["job"]), differences, _verdict(ended))

    # --- sets ---

    def create_set(
        self, group: str, *, label: str | None = None, plex: str | None = None
    ) -> SetRecord:
        body = {"label": label, "plex": plex, "force": self._force}
        answer = self._line.post(f"/v1/groups/{part(group)}/sets", body)
        return wire.set_(self._heard(answer)["set"])

    @contextmanager
    def armed_split(
        self, group: str, *, label: str | None = None, plex: str | None = None
    ) -> Iterator[Split]:
        """The daemon does what takes long, and keeps other changes out until the split is done or
        called off. One that comes too late for the writers is refused there."""
        body = {
            "label": label,
            "plex": plex,
            "force": self._force,
            "seconds": LATEST_SPLIT,
            "pid": os.getpid(),
        }
        answer = self._heard(self._line.post(f"/v1/groups/{part(group)}/arm", body))
        place = f"/v1/arms/{part(answer['arm'])}"

        def split(set_id: str, consistency: str) -> SetRecord:
            until = time.monotonic() + HOLD_SECONDS
            order = {"set_id": set_id, "consistency": consistency, "until": until}
            return wire.set_(self._heard(self._line.post(place, order))["set"])

        try:
            yield split
        finally:
            with suppress(Error):  # a daemon that is gone holds nothing
                self._line.delete(place)

    def list_sets(self, group: str | None = None, *, everything: bool = False) -> Listing:
        path = "/v1/sets" if group is None else f"/v1/groups/{part(group)}/sets"
        answer = self._line.get(path, everything=everything)
        return Listing(tuple(wire.set_(one) for one in answer["sets"]), _survey(answer))

    def show_set(self, text: str) -> SetRecord:
        return wire.set_(self._line.get(_set(text))["set"])

    def diff_set(self, text: str, since: str | None = None) -> tuple[ChangedMember, ...]:
        answer = self._line.get(f"{_set(text)}/diff", since=since)
        return tuple(wire.changed(one) for one in answer["members"])

    def verify_set(self, text: str, wish: CheckWish = BYTES) -> Verified:
        body = {
            "checks": list(wish.checks),
            "timeout": wish.timeout,
            "folders": list(wish.folders),
            "globs": list(wish.globs),
            "script": absolute(wish.script) if wish.script is not None else None,
            "force": self._force,
        }
        ended = self._follow(self._line.post(f"{_set(text)}/verify", body))
        result = ended.result if ended.result is not None else ended.value()
        return Verified(wire.set_(result["set"]), wire.job(result["job"]), ended.error)

    def drill(self, group: str, wish: DrillWish) -> tuple[Drilled, Error | None]:
        wish.require_valid()
        body = {
            "set": wish.set,
            "checks": list(wish.checks),
            "folder": absolute(wish.folder) if wish.folder is not None else None,
            "views": wish.views,
            "timeout": wish.timeout,
            "folders": list(wish.folders),
            "globs": list(wish.globs),
            "script": absolute(wish.script) if wish.script is not None else None,
            "force": self._force,
        }
        ended = self._follow(self._line.post(f"/v1/groups/{part(group)}/drill", body))
        result = ended.result if ended.result is not None else ended.value()
        return Drilled.from_json(result["drill"], wire.set_(result["set"])), ended.error

    def set_plan(self, text: str, verb: str) -> Plan:
        if verb == "delete":
            answer = self._line.delete(_set(text), dry_run=True)
        else:
            answer = self._line.post(f"{_set(text)}/{verb}", dry_run=True)
        return wire.plan(answer["plan"])

    def resync_set(self, text: str, *, limit: int | None = None) -> JobRecord:
        return self._job(f"{_set(text)}/resync", limit=limit)

    def delete_set(self, text: str) -> SetRecord:
        answer = self._line.delete(_set(text), force=self._force)
        return wire.set_(self._heard(answer)["set"])

    def promote_set(self, text: str, *, live: bool = False) -> SetRecord:
        answer = self._line.post(f"{_set(text)}/promote", force=self._force, live=live)
        return wire.set_(self._heard(answer)["set"])

    def mark_set(self, text: str, consistency: str) -> SetRecord:
        answer = self._line.post(f"{_set(text)}/consistency", {"consistency": consistency})
        return wire.set_(self._heard(answer)["set"])

    def pin_set(self, text: str, until: str | None, *, reason: str = "") -> SetRecord:
        answer = self._line.post(f"{_set(text)}/pin", {"until": until, "reason": reason})
        return wire.set_(self._heard(answer)["set"])

    def restore_plan(self, text: str, wish: RestoreWish) -> Plan:
        answer = self._line.post(f"{_set(text)}/restore", _restore_body(wish), dry_run=True)
        return wire.plan(answer["plan"])

    def restore_set(self, text: str, wish: RestoreWish) -> Restored:
        body = {**_restore_body(wish), "force": self._force}
        ended = self._follow(self._line.post(f"{_set(text)}/restore", body))
        result = ended.result if ended.result is not None else ended.value()
        kept, verdict = result["kept"], result.get("verdict")
        return Restored(
            wire.job(result["job"]),
            wire.set_(kept) if kept else None,
            wire.verdict(verdict) if verdict else None,
            ended.error,
        )

    def export_set(
        self,
        text: str,
        folder: str | None,
        *,
        since: str | None = None,
        stream: BinaryIO | None = None,
    ) -> Exported:
        if stream is not None:
            return self._export_to(text, since, stream)
        if folder is None:
            raise InvalidError("an export needs a folder or a stream")
        body = {"folder": absolute(folder), "since": since}
        result = self._follow(self._line.post(f"{_set(text)}/export", body)).value()
        return Exported(wire.job(result["job"]), tuple(result["files"]))

    def export_onto(self, text: str, wish: OntoWish) -> Onto:
        result = self._follow(self._line.post(f"{_set(text)}/export", wish.to_json())).value()
        return Onto(wire.job(result["job"]), **result["target"])

    def _export_to(self, text: str, since: str | None, stream: BinaryIO) -> Exported:
        moved = 0
        for piece in self._line.stream(f"{_set(text)}/image", since=since):
            moved += stream.write(piece)
        stream.flush()
        return Exported(JobRecord("export", moved, 0, moved, 0.0, "done"), ())


def _volume(name: str) -> str:
    from exshadow.names import check_name

    return f"/v1/volumes/{part(check_name(name, 'volume name'))}"


def _set(text: str) -> str:
    if not text or "/" in text:  # a path could not carry it
        raise NotFoundError(f"no snapshot set {text!r}", hint="see: exshadow snapshot list")
    return f"/v1/sets/{part(text)}"


def _survey(answer: Json) -> Survey:
    volumes = [wire.volume(one) for one in answer.get("volumes", ())]
    problems = {name: wire.error(one) for name, one in answer["problems"].items()}
    return Survey({one.name: one for one in volumes}, problems)


def _verdict(ended: Ended) -> IntegrityError | None:
    if ended.error is None:
        return None
    if not isinstance(ended.error, IntegrityError):
        raise ended.error
    return ended.error


def _restore_body(wish: RestoreWish) -> Json:
    return {
        "volumes": list(wish.volumes),
        "mode": wish.mode,
        "keep_current": wish.keep_current,
        "live": wish.live,
        "limit": wish.limit,
        "roll_forward": wish.roll_forward,
    }
