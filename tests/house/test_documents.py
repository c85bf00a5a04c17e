"""README.md and ARCHITECTURE.md keep up with the code."""

import os
import re
import tomllib
from contextlib import closing
from importlib import import_module
from inspect import signature

import pytest
from fork_server import ForkServer

from exshadow.vss.registry import BUILT_IN
from house import CPP, PACKAGE, ROOT

PANEL_ROW = re.compile(r"^[│|]\s+([a-z][a-z0-9-]*)(?:\s{2,}|\s*[│|]\s*$)")


def offered(server, *command):
    """The commands below `command`, as its --help lists them."""
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    status, page, said = server.run([*command, "--help"], environment)
    assert status == 0, said
    names, inside = [], False
    for line in page.splitlines():
        if re.match(r"^[╭┌]", line):
            inside = "Commands" in line
        elif inside and (row := PANEL_ROW.match(line)):
            names.append(row[1])
    return names


def leaves(server, *command):
    below = offered(server, *command)
    if not below:
        return {" ".join(command)} if command else set()
    return {leaf for name in below for leaf in leaves(server, *command, name)}


def documented(commands):
    """The commands of README's tables: first cells such as

    `volume add NAME`, or `snapshot list`, `show SET`, or `policy check\\|plan FILE`.
    """
    groups = {command.split()[0] for command in commands if " " in command}
    found = set()
    for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines():
        cells = re.split(r"(?<!\\)\|", line)
        if not line.startswith("|") or len(cells) < 3:
            continue
        group = ""
        for code in re.findall(r"`([^`]+)`", cells[1].replace("\\|", "|")):
            words = re.findall(r"[^\s]+", code.removeprefix("exshadow "))
            if words[0] in groups:
                group = words.pop(0)
            for word in words[0].split("|") if words else []:
                if re.fullmatch(r"[a-z][a-z-]*", word):
                    inside = group and (word not in commands or f"{group} {word}" in commands)
                    found.add(f"{group} {word}" if inside else word)
    return found


@pytest.fixture(scope="module")
def commands():
    with closing(ForkServer()) as server:
        found = leaves(server)
    assert found, "exshadow --help lists no commands"
    return found


def test_readme_names_every_command(commands):
    missing = commands - documented(commands)
    assert not missing, f"README.md's command table lacks {sorted(missing)}"


def test_readme_names_no_command_that_is_not_there(commands):
    """Only rows of known groups are judged: README has other tables too."""
    groups = {command.split()[0] for command in commands if " " in command}
    unknown = {name for name in documented(commands) - commands if name.split()[0] in groups}
    assert not unknown, f"README.md's command table has {sorted(unknown)}"


@pytest.mark.parametrize("folder", ["cpp", "python/exshadow"])
def test_architecture_names_every_room(folder):
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    if folder == "cpp":
        rooms = {f"cpp/{path.name}" for path in CPP.iterdir() if path.is_dir()}
    else:
        rooms = {
            path.stem
            for path in PACKAGE.iterdir()
            if (path.is_dir() or path.suffix == ".py") and not path.name.startswith("_")
        }
    missing = {name for name in rooms if not re.search(rf"(?<![\w/]){re.escape(name)}(?!\w)", text)}
    assert not missing, f"ARCHITECTURE.md lacks {sorted(missing)}"


def test_one_version_everywhere():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    cmake = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    assert f"project(exshadow VERSION {settings['project']['version']} " in cmake


def test_readme_is_the_package_page():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["project"].get("readme") == "README.md", 'add: readme = "README.md"'


def test_readme_names_every_make_target():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = {"setup", "demo", "test", "lint", "bench", "soak", "wheel"}
    missing = {target for target in targets if f"make {target}" not in text}
    assert not missing, f"README.md lacks {sorted(missing)}"


def test_every_built_in_writer_is_told_and_its_arguments():
    """The rows of the table of writers against the classes themselves."""
    told = {}
    for line in (ROOT / "docs/writers.md").read_text(encoding="utf-8").splitlines():
        cells = re.split(r"(?<!\\)\|", line)
        names = re.findall(r"`([a-z-]+)`", cells[1]) if len(cells) > 3 else []
        for name in names:
            told.setdefault(name, set()).update(re.findall(r"`(\w+)", cells[2]))
    for name, place in BUILT_IN.items():
        module, _, kind = place.partition(":")
        made = getattr(import_module(module), kind)
        assert told.get(name) == set(signature(made).parameters), name


def test_links_lead_to_files():
    for page in (ROOT / "README.md", ROOT / "ARCHITECTURE.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_readme_leads_to_every_page():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert f"(docs/{page.name})" in text, page.name
