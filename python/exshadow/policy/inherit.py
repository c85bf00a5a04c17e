"""What groups of a policy file take from templates and the defaults, before anything is checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exshadow.errors import InvalidError
from exshadow.names import check_name, meant
from exshadow.policy.lines import Lines


def inherited(raw: Mapping[str, Any], name: str, lines: Lines) -> dict[str, Any]:
    """Groups with their templates and the defaults laid under them. InvalidError where the file has
    no such form, or extends what is not there: also of templates that no group takes."""
    known = ("defaults", "template", "group", "volume", "provider")
    if unknown := sorted(set(raw) - set(known)):
        raise InvalidError(
            "\n".join(
                f"{name}:{lines.of((one,))}: unknown part {one}{meant(one, known)}"
                for one in unknown
            ),
            hint="a policy has [defaults], [template.NAME], [group.NAME], [volume.NAME], "
            "[provider.NAME]",
        )
    templates = raw.get("template", {})
    parts = {"defaults": raw.get("defaults", {}), "template": templates}
    if isinstance(templates, dict):
        parts |= {f"template.{title}": one for title, one in templates.items()}
    for title, one in parts.items():
        if not isinstance(one, dict):
            raise InvalidError(f"{name}:{lines.of(title.split('.'))}: {title} is no table")
    groups = raw.get("group", {})
    if not isinstance(groups, dict) or not groups:
        raise InvalidError(f"{name}: no group", hint="begin one with [group.NAME]")
    found = {}
    for title, group in groups.items():
        where = f"{name}:{lines.of(('group', title))}"
        try:
            check_name(title, "group name")
        except InvalidError as problem:
            raise InvalidError(f"{where}: {problem.message}", hint=problem.hint) from None
        if not isinstance(group, dict):
            raise InvalidError(f"{where}: group.{title} is no table")
        line = lines.of(("group", title, "extends"))
        chain = _chain(group, templates, f"{name}:{line}: group.{title}")
        merged: dict[str, Any] = dict(raw.get("defaults", {}))
        for one in reversed(chain):
            merged = _laid_over(merged, one)
        merged.pop("extends", None)
        found[title] = merged
    for title, one in templates.items():
        line = lines.of(("template", title, "extends"))
        _chain(one, templates, f"{name}:{line}: template.{title}")
    return found


def _chain(group: Mapping[str, Any], templates: Mapping[str, Any], where: str) -> list[Any]:
    """The group, its template, that one's template ..., no circles."""
    chain = [group]
    seen: list[str] = []
    while (parent := chain[-1].get("extends")) is not None:
        if parent in seen:
            raise InvalidError(f"{where}: templates extend one another: {' -> '.join(seen)}")
        if not isinstance(parent, str) or parent not in templates:
            known = ", ".join(sorted(templates)) or "none"
            maybe = meant(parent, templates) if isinstance(parent, str) else ""
            raise InvalidError(
                f"{where} extends {parent!r}, which is no template{maybe}",
                hint=f"templates: {known}",
            )
        seen.append(parent)
        chain.append(templates[parent])
    return chain


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
    """By group its templates, nearest first: of a file that could be read."""
    templates = raw.get("template", {})
    found: dict[str, list[str]] = {}
    for title, group in raw.get("group", {}).items():
        chain = found.setdefault(title, [])
        while (parent := group.get("extends")) is not None:
            chain.append(parent)
            group = templates[parent]
    return found
