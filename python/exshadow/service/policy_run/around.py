"""What happens round a run: hooks, the hand-over of the new set to a backup program, what the set
measures, and who hears of it all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from exshadow.catalog.documents import documents
from exshadow.catalog.measures import add_measures
from exshadow.model import Json, SetRecord
from exshadow.policy.hooks import check_hooks, run_every_hook, run_hooks
from exshadow.policy.model import Group, Hook
from exshadow.policy.notify import Message, Outcome, tell
from exshadow.policy.standing import newest_of, unusual
from exshadow.service.policy_run.measuring import measure
from exshadow.service.policy_run.record import GroupRun
from exshadow.service.policy_run.room import Room
from exshadow.service.standing import series


@dataclass(slots=True)
class Around:
    """Of one run. Calls come in the order of the methods; ``ended`` always comes."""

    room: Room
    group: Group
    done: GroupRun
    previous: SetRecord | None = None
    held: bool = False
    """Whether the group is this run's: hooks of another run's group are not touched."""

    def before(self) -> None:
        """Before anything is touched. Raises what a hook said: then there is no run."""
        hooks = self.group.hooks
        every = (*hooks.before, *hooks.after, *hooks.on_error, *hooks.hand_over)
        check_hooks(every)  # one that may not run is told before the work, not after it
        self.previous = newest_of(self.room.group, self.room.sets(), now=datetime.now(UTC))
        run_hooks(hooks.before, "before", self._facts())

    def made(self, one: SetRecord) -> None:
        """The set is there and checked. A hand-over that fails makes the run fail, not the set."""
        values = measure(self.room, one, self.previous)
        catalog = self.room.desk.catalog
        add_measures(catalog, self.room.group, one.id, values)
        for found in series(catalog, self.room.group) if values else ():
            if text := unusual(found):
                self._warn(text)
        hooks = self.group.hooks.hand_over
        if not hooks or self.done.error is not None:
            return
        with self.room.presented(one) as members:
            copies = [member.to_json() for member in members]
            facts = {**self._facts(), "set": one.to_json(), "members": copies}
            run_hooks(hooks, "hand-over", {**facts, "documents": self._documents(one)})

    def ended(self) -> None:
        """Whatever came of it. Nothing of this changes how the run ended, but it is said."""
        tell_end(self.group, self.done, self.room.note, hooks=self.held)

    def _facts(self) -> Json:
        return {"run": self.done.to_json()}

    def _documents(self, one: SetRecord) -> list[Json]:
        """The files that a restore elsewhere needs: names, hashes, places."""
        return [
            {"name": found.name, "sha256": found.sha256, "paths": list(found.paths)}
            for found in documents(self.room.desk.catalog, one.id)
        ]

    def _warn(self, text: str) -> None:
        self.done.warnings.append(text)
        self.room.note(text)


def tell_end(
    group: Group, done: GroupRun, note: Callable[[str], None], *, hooks: bool = True
) -> None:
    """Hooks after a run or of its failure, then those who are to hear of it. Also for a run that
    could not even begin. ``hooks``: not while another run holds the group, whose hooks they are as
    well."""
    error = done.error

    def warn(text: str) -> None:
        done.warnings.append(text)
        note(text)

    if hooks:
        wanted: tuple[Hook, ...] = group.hooks.on_error if error else group.hooks.after
        event = "on-error" if error else "after"
        run_every_hook(wanted, event, lambda: {"run": done.to_json()}, warn)
    for text in tell(group.notify, _message(done)):
        warn(text)


def _message(done: GroupRun) -> Message:
    outcome: Outcome = "failure" if done.error else "warning" if done.warnings else "success"
    if done.error is not None:
        title = f"exshadow: {done.group} failed"
        text = f"{done.error.message}\n{done.error.hint}".strip()
    else:
        label = done.made.label if done.made else "no set"
        title = f"exshadow: {done.group}: {label}"
        checked = done.made is not None and bool(done.made.checks)
        text = f"The new set is there{', its checks are good' if checked else ', not checked'}."
    return Message(outcome, title, "\n".join((text, *done.warnings, *done.notes)))
