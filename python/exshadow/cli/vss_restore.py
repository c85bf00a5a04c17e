"""exshadow vss restore"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from exshadow.cli import confirm, output, vss_views
from exshadow.cli.options import DryRun, Yes
from exshadow.cli.vss import HERE, Document, Exclude, Exec, Include, read_text, report_json, wishes
from exshadow.cli.vss_backup import command_of
from exshadow.cli.vss_source import Source, open_vss
from exshadow.errors import InvalidError
from exshadow.model import Plan, Step

if TYPE_CHECKING:
    from exshadow.vss.documents import LocationMapping, RestoreSubcomponent
    from exshadow.vss.procedures import (
        ComponentWish,
        RangesFile,
        RestoreChoices,
    )
    from exshadow.vss.tables import RollForward

Mapping = tuple[str, str, str, str]


@Parameter(name="*")
@dataclass(frozen=True)
class Choices:
    """How the writers are to take what comes back; what ends in ``-of`` is of one component."""

    options: Annotated[str, Parameter(help="Private text for the writers.")] = ""
    roll_forward: Annotated[
        str | None,
        Parameter(help="Which of the logs are replayed: none, all, or partial up to --point."),
    ] = None
    point: Annotated[
        str, Parameter(help="Up to where; in the writer's words, with partial alone.")
    ] = ""
    new_name: Annotated[
        str, Parameter(help="Restore the one component of --include under another name.")
    ] = ""
    more_of: Annotated[
        list[str] | None, Parameter(help="As --more, of one WRITER:PATH\\NAME; repeats.")
    ] = None
    authoritative_of: Annotated[
        list[str] | None, Parameter(help="As --authoritative, of one WRITER:PATH\\NAME; repeats.")
    ] = None
    options_of: Annotated[list[str] | None, Parameter(help="WRITER:PATH\\NAME=TEXT; repeats.")] = (
        None
    )
    roll_forward_of: Annotated[
        list[str] | None,
        Parameter(help="WRITER:PATH\\NAME=none, =all or =partial@POINT; repeats."),
    ] = None
    new_name_of: Annotated[
        list[str] | None, Parameter(help="WRITER:PATH\\NAME=NEW NAME; repeats.")
    ] = None


@Parameter(name="*")
@dataclass(frozen=True)
class Places:
    """What goes elsewhere, and what is only a part."""

    new_target: Annotated[
        list[Mapping] | None,
        Parameter(
            help="WRITER:PATH\\NAME FOLDER PATTERN DESTINATION: where the writer's files of FOLDER "
            "and PATTERN go instead; repeats."
        ),
    ] = None
    alternate_location: Annotated[
        list[Mapping] | None,
        Parameter(
            help="The same, of files that --exec puts where the writer's own mapping says; repeats."
        ),
    ] = None
    subcomponent: Annotated[
        list[tuple[str, str]] | None,
        Parameter(help="WRITER:PATH\\NAME PART: only this part, by its whole PATH\\NAME; repeats."),
    ] = None
    ranges_file: Annotated[
        list[tuple[str, int, str]] | None,
        Parameter(
            help="WRITER:PATH\\NAME NUMBER FILE: where the ranges file of the component's partial "
            "file NUMBER, from 0, lies now; repeats."
        ),
    ] = None


def restore(
    document: Document,
    /,
    *,
    include: Include = None,
    exclude: Exclude = None,
    more: Annotated[bool, Parameter(help="Increments still follow.")] = False,
    authoritative: Annotated[bool, Parameter(help="This copy wins over replicas.")] = False,
    choices: Choices = Choices(),
    places: Places = Places(),
    exec: Exec = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    source: Source = HERE,
) -> int:
    """Tell the writers before and after files are put back; --exec, which must be given, puts
    them back.

    Example: exshadow vss restore documents/components.xml --exec ./put-back --yes
    """
    from exshadow.vss.procedures import RestoreRequest

    if choices.new_name and len(include or ()) != 1:
        raise InvalidError(
            "--new-name is for one component", hint="name it with --include, or use --new-name-of"
        )
    kind, point = _roll_forward(choices.roll_forward, choices.point, "--roll-forward")
    request = RestoreRequest(
        read_text(document),
        included=wishes(include),
        excluded=wishes(exclude),
        additional_restores=more,
        authoritative=authoritative,
        options=choices.options,
        roll_forward=kind,
        roll_forward_point=point,
        new_name=choices.new_name,
        choices=list(_of_components(choices)),
        new_targets=[_mapping(one) for one in places.new_target or ()],
        alternate_mappings=[_mapping(one) for one in places.alternate_location or ()],
        subcomponents=[_part(*one) for one in places.subcomponent or ()],
        ranges_files=[_ranges(*one) for one in places.ranges_file or ()],
    )
    if exec is None:
        raise InvalidError(
            "nothing would put the files back, and the writers would hear that all are there",
            hint="add --exec PROGRAM, which does it between PreRestore and PostRestore",
        )
    program = command_of(exec)
    step = Step("run between PreRestore and PostRestore", "vss", exec)
    plan = Plan("vss restore", (step,))
    if dry_run:
        return confirm.only_planned(plan)
    with open_vss(source) as vss:
        confirm.confirm(plan, yes=yes)
        outcome = vss.restore(request, program)
    error = outcome.error or (program.error() if program else None)
    return output.show(
        report_json("restore", outcome.report), vss_views.restore(outcome.report), error
    )


def _of_components(given: Choices) -> Iterator[RestoreChoices]:
    from exshadow.vss.procedures import RestoreChoices

    for text in given.more_of or ():
        yield RestoreChoices(_wish(text), additional_restores=True)
    for text in given.authoritative_of or ():
        yield RestoreChoices(_wish(text), authoritative=True)
    for text in given.options_of or ():
        component, value = _assignment(text, "--options-of")
        yield RestoreChoices(component, options=value)
    for text in given.new_name_of or ():
        component, value = _assignment(text, "--new-name-of")
        yield RestoreChoices(component, new_name=value)
    for text in given.roll_forward_of or ():
        component, value = _assignment(text, "--roll-forward-of")
        word, _, where = value.partition("@")
        kind, point = _roll_forward(word, where, "--roll-forward-of")
        yield RestoreChoices(component, roll_forward=kind, roll_forward_point=point)


def _assignment(text: str, option: str) -> tuple[ComponentWish, str]:
    component, equals, value = text.partition("=")
    if not (component and equals):
        raise InvalidError(
            f"{option}: '{text}' lacks an equals sign", hint="write WRITER:PATH\\NAME=VALUE"
        )
    return _wish(component), value


def _roll_forward(word: str | None, point: str, option: str) -> tuple[RollForward | None, str]:
    from exshadow.vss.tables import RollForward

    kinds = {one.word: one for one in RollForward if one is not RollForward.UNDEFINED}
    if word is not None and word not in kinds:
        raise InvalidError(
            f"{option}: '{word}' is no roll-forward", hint=f"it is one of {', '.join(kinds)}"
        )
    kind = kinds[word] if word is not None else None
    if (kind is RollForward.PARTIAL) != bool(point):
        raise InvalidError(
            f"{option}: a point goes with partial, and with it alone",
            hint="name the point, or roll forward none or all of the logs",
        )
    return kind, point


def _wish(text: str) -> ComponentWish:
    found: ComponentWish = wishes([text])[0]
    return found


def _mapping(given: Mapping) -> tuple[ComponentWish, LocationMapping]:
    from exshadow.vss.documents import FileSet, LocationMapping

    component, folder, pattern, destination = given
    return _wish(component), LocationMapping(FileSet(folder, pattern), destination)


def _part(component: str, part: str) -> tuple[ComponentWish, RestoreSubcomponent]:
    from exshadow.vss.documents import RestoreSubcomponent

    path, _, name = part.rpartition("\\")
    return _wish(component), RestoreSubcomponent(path, name)


def _ranges(component: str, number: int, path: str) -> tuple[ComponentWish, RangesFile]:
    from exshadow.vss.procedures import RangesFile

    if not 0 <= number < 1 << 32:
        raise InvalidError(f"--ranges-file: {number} is no number of a partial file", hint="from 0")
    return _wish(component), RangesFile(number, path)
