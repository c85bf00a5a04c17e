"""The JSON Schema of a policy says what ``policy check`` says, as far as a schema can."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from json_schema import faults

from exshadow.cli.policy_settings import OPTIONS, known_settings
from exshadow.policy.model import examine
from exshadow.policy.schema import schema

SCHEMA = schema(known_settings(), OPTIONS)
WHOLE = """
[defaults]
keep = { daily = 7, within = "1y6m", within-weekly = " 2m " }
verify = ["ese", "script?command=/bin/true"]
[template.base]
schedule = "*/15 8-22 l Jan,3 mon-FRI"
volumes = ["data"]
[template.db]
extends = "base"
[group.shop]
extends = "db"
window = "20:00-06:00"
mirrors = ["m1", "m2"]
keep.last = "unlimited"
objective = "15m"
provider = { prefer = ["sfw"], off-host = true, options = { mirror-path = "/m/{volume}-{mirror}" } }
hooks.before = [{ command = "/bin/true", timeout = "2m" }]
notify = { urls = ["json://localhost"], on = ["failure", "failure"], ping = "https://x.example/1" }
[volume.data]
path = "W:"
size = "20G"
[provider.sfw]
mirrors = "m1=Harddisk3 m2=Harddisk4"
"""
GROUP = '[group.g]\nvolumes = ["data"]\n'


def said(text: str) -> tuple[bool, bool]:
    """Whether the file is good, and whether the schema takes it."""
    policy, found = examine(text)
    document: dict[str, Any] = tomllib.loads(text)
    return policy is not None and not found, not list(faults(document, SCHEMA))


@pytest.mark.parametrize(
    "text",
    [WHOLE, GROUP, '[defaults]\nvolumes = ["data"]\n[group.g]\n', GROUP + 'max-age = " 1w "',
     GROUP + 'schedule = "5/15 * * * 7"'],
)  # fmt: skip
def test_what_is_good_is_taken_with_templates_and_defaults(text: str) -> None:
    assert said(text) == (True, True), list(faults(tomllib.loads(text), SCHEMA))


@pytest.mark.parametrize(
    "text",
    [
        "[group.g]",
        "[defaults]",
        '[groups.g]\nvolumes = ["a"]',
        '[group."a b"]\nvolumes = ["a"]',
        '[group.g]\nvolumes = ["../a"]',
        '[group.g]\nvolumes = ["größe"]',
        '[defaults]\nextends = "t"\n[group.g]\nvolumes = ["a"]',
        GROUP + "[template.t]\nkeep = 3",
        *(GROUP + line for line in (
            "extends = 3", 'schedule = "hourly"', 'schedule = "R 3 * * *"', 'window = "8-9"',
            'window = "٠٨:00-09:00"', "keep.daily = -1", "keep.daily = true", 'keep.within = "7w"',
            'keep.within = ""', 'keep.within = "٣d"', 'objective = "soon"', 'objective = "٣m"',
            'verify = ["chkdsk"]', 'verify = ["bytes", "bytes"]', 'mirrors = ["a/b"]',
            'provider.prefer = ["netapp"]', 'provider.off-host = "yes"', "provider.off-host = 1",
            'provider.options.mirror-paht = "/x"', "hooks.before = [{ comand = '/bin/true' }]",
            'hooks.before = "/bin/true"', 'notify.on = ["always"]', 'writers = "sqlite"',
            'mirrors = ["m2", "m2"]', 'retention = "7d"',
        )),
        GROUP + '[volume.data]\nsize = 3',
        GROUP + '[volume."a/b"]\npath = "W:"',
        GROUP + "[volume.data]\npath = 'W:'\nsize = -1",
        GROUP + "[provider.netapp]",
        GROUP + "[provider.sfw]\ntries = 3",
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_by_both(text: str) -> None:
    policy, sound = said(text)
    if "mirror-paht" not in text:  # what a product's option is called, only the command knows
        assert not policy, text
    assert not sound, text
