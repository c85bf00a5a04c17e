"""The JSON Schema of a policy file as people write it: with its templates and defaults.

It follows from the models, so it says no other than they do; what it cannot say (a window that the
schedule never meets, a day that never comes, programs that are not there) ``policy check`` finds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from exshadow.names import NAME
from exshadow.policy.model import PROVIDERS, Policy, Template

_Schema = dict[str, Any]


def schema(
    settings: Mapping[str, Sequence[str]] | None = None, options: Sequence[str] | None = None
) -> _Schema:
    """``settings``: by provider the keys that its table may have; ``options``: those of a group's
    ``provider.options``; None: any."""
    whole, part = Policy.model_json_schema(), Template.model_json_schema()
    there: _Schema = {**whole["$defs"], **part["$defs"]}
    given = part["properties"]  # of a template: as of a group, and nothing must be given
    extends = {"type": "string", "minLength": 1, "description": "The template taken from."}
    group = there["Group"]
    there["Defaults"] = _table(given, "What every group takes that says nothing else.")
    there["Template"] = _table(given | {"extends": extends}, "What groups take that extend it.")
    there["Group"] = _table(group["properties"] | {"extends": extends}, group["description"])
    if options is not None:
        there["ProviderPart"]["properties"]["options"] = _texts(options)
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Policy of exshadow",
        "type": "object",
        "properties": {
            "defaults": {"$ref": "#/$defs/Defaults"},
            "template": {"type": "object", "additionalProperties": {"$ref": "#/$defs/Template"}},
            "group": {
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"pattern": f"^{NAME}$"},
                "additionalProperties": {"$ref": "#/$defs/Group"},
            },
            "volume": {
                "type": "object",
                "propertyNames": {"pattern": f"^{NAME}$"},
                "additionalProperties": {"$ref": "#/$defs/VolumePart"},
            },
            "provider": {
                "type": "object",
                "properties": {name: _texts((settings or {}).get(name)) for name in PROVIDERS},
                "additionalProperties": False,
            },
        },
        "required": ["group"],
        "additionalProperties": False,
        "anyOf": _some_volumes(),
        "$defs": there,
    }
    plain: _Schema = _as_toml(document)
    return plain


def _table(properties: Mapping[str, Any], description: str) -> _Schema:
    return {
        "type": "object",
        "description": description,
        "properties": dict(properties),
        "additionalProperties": False,
    }


def _texts(keys: Sequence[str] | None) -> _Schema:
    """A table of texts with these keys, with any when None."""
    text = {"type": "string"}
    if keys is None:
        return {"type": "object", "additionalProperties": text}
    return {
        "type": "object",
        "properties": dict.fromkeys(keys, text),
        "additionalProperties": False,
    }


def _some_volumes() -> list[_Schema]:
    """A group names its volumes, or takes them from its template or the defaults."""
    own = [{"required": ["volumes"]}, {"required": ["extends"]}]
    return [
        {"properties": {"group": {"additionalProperties": {"anyOf": own}}}},
        {"properties": {"defaults": {"required": ["volumes"]}}, "required": ["defaults"]},
    ]


def _as_toml(part: Any) -> Any:
    """Without null, which TOML does not have, and without the titles that the library makes up."""
    if isinstance(part, list):
        return [_as_toml(one) for one in part]
    if not isinstance(part, dict):
        return part
    some = [one for one in part.get("anyOf", ()) if one != {"type": "null"}]
    if len(some) == 1:
        part = {key: one for key, one in part.items() if key != "anyOf"} | some[0]
    found = {key: _as_toml(one) for key, one in part.items() if not _idle(key, one)}
    return found


def _idle(key: str, value: Any) -> bool:
    made_up = key == "title" and isinstance(value, str) and value != "Policy of exshadow"
    return made_up or (key == "default" and (value is None or isinstance(value, (dict, list))))
