"""What groups of a policy file take from templates and the defaults, before anything is checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from exshadow.errors import InvalidError
from exshadow.names import check_name, meant
from exshadow.policy.lines import Faults, Place

_KNOWN = ("defaults", "template", "group", "volume", "provider")


def inherited(raw: Mapping[str, Any], faults: Faults) -> dict[str, Any]:
    """Groups with their templates and the defaults laid under them. What has no such form, or
    extends what is not there, is a fault, also of templates that no group takes; a group with one
    is left out."""
    for one in sorted(set(raw) - set(_KNOWN)):
        faults.say((one,), f"unknown part {one}{meant(one, _KNOWN)}; parts: {', '.join(_KNOWN)}")
    for title in ("defaults", "template", "group"):
        if not isinstance(raw.get(title, {}), dict):
            faults.say((title,), f"{title} is no table")
    for title, one in table(raw, "template").items():
        if not isinstance(one, dict):
            faults.say(("template", title), f"template.{title} is no table")
    if not raw.get("group"):
        faults.say(("group",), "no group: begin one with [group.NAME]")
    templates = tables(raw, "template")
    found = {
        title: _merged(group, raw, templates, faults, title)
        for title, group in table(raw, "group").items()
        if _is_group(title, group, faults)
    }
    for title, one in templates.items():
        _chain(one, templates, faults, ("template", title))
    return {title: group for title, group in found.items() if group is not None}


def table(raw: Mapping[str, Any], title: str) -> dict[str, Any]:
    """A part of the file; empty where it is none."""
    found = raw.get(title, {})
    return found if isinstance(found, dict) else {}


def tables(raw: Mapping[str, Any], title: str) -> dict[str, Any]:
    """The tables of a part of the file, without what is none."""
    return {name: one for name, one in table(raw, title).items() if isinstance(one, dict)}


def _is_group(title: str, group: object, faults: Faults) -> bool:
    try:
        check_name(title, "group name")
    except InvalidError as problem:
        faults.say(("group", title), f"{problem.message}; {problem.hint}")
    if not isinstance(group, dict):
        faults.say(("group", title), f"group.{title} is no table")
    return isinstance(group, dict)


def _merged(
    group: Mapping[str, Any],
    raw: Mapping[str, Any],
    templates: Mapping[str, Any],
    faults: Faults,
    title: str,
) -> dict[str, Any] | None:
    chain = _chain(group, templates, faults, ("group", title))
    if chain is None:
        return None
    merged = dict(table(raw, "defaults"))
    for one in reversed(chain):
        merged = _laid_over(merged, one)
    merged.pop("extends", None)
    return merged


def _chain(
    part: Mapping[str, Any], templates: Mapping[str, Any], faults: Faults, place: Place
) -> list[Any] | None:
    """The group, its template, that one's template ..., no circles. None: there is a fault."""
    chain = [part]
    what = ".".join(str(one) for one in place)
    for parent in _parents(part, templates):
        if parent is None:
            seen = " -> ".join(str(one["extends"]) for one in chain[:-1])
            faults.say((*place, "extends"), f"{what}: templates extend one another: {seen}")
            return None
        if not isinstance(parent, str) or parent not in templates:
            known = ", ".join(sorted(templates)) or "none"
            maybe = meant(parent, templates) if isinstance(parent, str) else ""
            said = f"{what} extends {parent!r}, which is no template{maybe}; templates: {known}"
            faults.say((*place, "extends"), said)
            return None
        chain.append(templates[parent])
    return chain


def _parents(part: Mapping[str, Any], templates: Mapping[str, Any]) -> Iterator[object]:
    """What is extended, one after the other; the last may be no template, and None is said where a
    circle closes."""
    seen: set[str] = set()
    parent = part.get("extends")
    while parent is not None:
        if not isinstance(parent, str):  # no name of anything
            yield parent
            return
        if parent in seen:
            yield None
            return
        yield parent
        seen.add(parent)
        parent = templates[parent].get("extends") if parent in templates else None


def _laid_over(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Tables are laid over one another key by key, everything else is replaced."""
    both = dict(under)
    for key, value in over.items():
        old = both.get(key)
        both[key] = (
            _laid_over(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return both


def parents_of(raw: Mapping[str, Any]) -> dict[str, list[str]]:
    """By group its templates, nearest first."""
    templates = tables(raw, "template")
    return {
        title: [
            one for one in _parents(group, templates) if isinstance(one, str) and one in templates
        ]
        for title, group in tables(raw, "group").items()
    }
