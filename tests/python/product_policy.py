"""A policy over the programs of a product's simulator, as a file for the command line, and a backup
program that it may hand sets to."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from simulators.sfw.program import install


def programs(bed):
    """The simulators as commands."""
    return install(bed.folder / "bin", bed.world)


def policy_of(bed, tmp_path, settings, more="", mirrors=("m1",)):
    lines = ["[group.mail]", 'volumes = ["db", "logs"]', f"mirrors = {json.dumps(mirrors)}", more]
    for one in bed.sources:
        path = one.path.replace("\\", "\\\\")
        lines += [f"[volume.{one.name}]", f'path = "{path}"', f"size = {one.size}"]
    lines += [f"[provider.{bed.name}]"]
    lines += [f"{key} = {json.dumps(text)}" for key, text in settings.items()]
    path = tmp_path / "policy.toml"
    path.write_text("\n".join(lines))
    return path


TAPE = """#!{python} -IS
import json, pathlib, sys
given = json.load(sys.stdin)
for one in given["members"]:
    read = pathlib.Path(one["path"]).read_bytes()
    pathlib.Path("{folder}", one["volume"] + ".tape").write_bytes(read)
for one in given["documents"]:
    one["read"] = pathlib.Path(one["paths"][0]).read_bytes().hex()
pathlib.Path("{folder}", "given.json").write_text(json.dumps(given))
"""


def tape(folder: Path) -> str:
    """A backup program: it reads what it is given while it is given."""
    path = folder / "tape"
    path.write_text(TAPE.format(python=sys.executable, folder=folder))
    path.chmod(0o700)
    return str(path)
