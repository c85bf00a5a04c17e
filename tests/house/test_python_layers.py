"""The rooms of python/exshadow: who may import whom, who prints, what is imported lazily."""

import ast
import json
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter

import pytest

from house import PACKAGE, imports, module_name, parse, place, sources

# {model, errors} <- {ese, policy, catalog, vss, writers, providers} <- recovery <- service
# <- client
# <- {api, cli}
FLOOR = {
    "model": 0,
    "errors": 0,
    "wire": 0,  # records from their JSON shapes
    "sparse": 0.3,  # zeroes and holes of files
    "command_log": 0.4,  # what those said, kept in a file
    "commands": 0.5,  # programs that are run for providers
    "program_output": 0.5,  # what a program says, in a file of bounded size
    "names": 0,  # what names, sizes and times look like
    "images": 1,  # full and differential image streams
    "ese": 1,  # offline proof of ESE files
    "policy": 1,
    "catalog": 1,
    "writers": 1.5,  # real applications, on the interface of vss
    "providers": 1.2,  # one of them is whatever VSS has on Windows
    "vss": 1,  # requestor, writers and providers of the Volume Shadow Copy Service
    "report": 2,  # the status page, from records
    "recovery": 2,
    "service": 3,
    "client": 3.2,  # the verbs of the service, done by a running daemon
    "demo": 4,  # a story told to the service and the public names, as a user would
    "api": 4,
    "cli": 4,
}
# Modules that are one room together.
IMAGES = (
    "image_base", "image_export", "image_files", "raw_image", "rbd_diff", "rbd_format",
)  # fmt: skip
ROOM_OF = dict.fromkeys(IMAGES, "images")
# Rooms of one floor that may meet: the bottom floor; `exshadow serve` and `demo` start theirs.
BOTTOM = ("model", "errors", "names", "wire")
NEIGHBOURS = {
    ("cli", "api"),
    ("cli", "demo"),
    ("catalog", "providers"),  # its journal keeps their actions
    *((one, other) for one in BOTTOM for other in BOTTOM),
}
# The package itself (`__init__`: the public names) may show all that does not speak to people.
FACADE = 3.5
ENGINE_USERS = {"", "service", "providers", "ese", "vss"}
# A command line that answers --version must not have paid for these.
HEAVY = {
    "alembic", "apprise", "fastapi", "httpx", "jinja2", "numpy", "pexpect", "psycopg", "pydantic",
    "prometheus_client", "rich", "sqlalchemy", "starlette", "uvicorn",
}  # fmt: skip


def room(name):
    top = name.split(".")[0]
    return ROOM_OF.get(top, top)


def own_imports():
    for path in sources(PACKAGE, ".py"):
        for line, name in imports(path):
            if name == "exshadow" or name.startswith("exshadow."):
                yield path, line, name.removeprefix("exshadow").removeprefix(".")


def test_every_module_stands_on_a_floor():
    known = FLOOR.keys() | {"", "__main__"}  # "" is the package itself
    unknown = {room(module_name(path)) for path in sources(PACKAGE, ".py")} - known
    assert not unknown, f"give {unknown} a floor here, and in ARCHITECTURE.md"


def test_modules_import_only_from_floors_below():
    wrong = []
    for path, line, name in own_imports():
        importer, target = room(module_name(path)), room(name)
        if target not in FLOOR or importer == target or importer == "__main__":
            continue
        floor = FACADE if importer == "" else FLOOR.get(importer, 0)
        if FLOOR[target] >= floor and (importer, target) not in NEIGHBOURS:
            wrong.append(f"{place(path, line)}: {importer or '__init__'} may not import {name}")
    assert not wrong, "\n".join(wrong)


def test_no_modules_need_each_other():
    modules = {module_name(path): path for path in sources(PACKAGE, ".py")}
    needs: dict[str, set[str]] = {name: set() for name in modules}
    for path, line, name in own_imports():
        if line in for_types_only(path):
            continue
        target = name if name in modules else name.rpartition(".")[0]
        if (
            target in modules
            and target != module_name(path)
            and "" not in (target, module_name(path))
        ):
            needs[module_name(path)].add(target)
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        pytest.fail(" needs ".join(reversed(error.args[1])))


@cache
def for_types_only(path):
    """The lines that only a type checker reads."""
    return {
        line
        for node in parse(path).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def test_nothing_below_the_doors_imports_the_facade():
    wrong = [
        f"{place(path, line)}: import from the module that defines {name or 'it'}"
        for path, line, name in own_imports()
        if room(name) not in FLOOR.keys() | {"_core"}
        and FLOOR.get(room(module_name(path)), 9) < FLOOR["api"]
        and name != "__version__"
    ]
    assert not wrong, "\n".join(wrong)


def test_only_few_rooms_touch_the_engine():
    wrong = [
        f"{place(path, line)}: {name}"
        for path, line, name in own_imports()
        if room(name) == "_core" and room(module_name(path)) not in ENGINE_USERS
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_command_line_prints():
    wrong = []
    for path in sources(PACKAGE, ".py"):
        if room(module_name(path)) == "cli":
            continue
        wrong += [
            f"{place(path, node.lineno)}: print"
            for node in ast.walk(parse(path))
            if isinstance(node, ast.Name) and node.id == "print"
        ]
        wrong += [
            f"{place(path, node.lineno)}: sys.{node.attr}"
            for node in ast.walk(parse(path))
            if isinstance(node, ast.Attribute)
            and node.attr in {"stdout", "stderr"}
            and isinstance(node.value, ast.Name)
            and node.value.id == "sys"
        ]
        wrong += [
            f"{place(path, line)}: {name}"
            for line, name in imports(path)
            if name.split(".")[0] in {"rich", "cyclopts"}
        ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", ["exshadow", "exshadow.cli.main", "exshadow.vss"])
def test_heavy_packages_are_imported_lazily(module):
    program = f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = HEAVY & set(json.loads(done.stdout))
    assert not loaded, f"import {module} brings in {sorted(loaded)}"
