"""The rooms of cpp/: who may include whom, and what only one room may include."""

import re

from house import CPP, place, sources

# base <- runtime <- disk <- {volume, nbd}; runtime <- vss; {volume, vss} <- provider; base <- ese.
# Siblings never meet.
MAY_INCLUDE = {
    "base": set(),
    "runtime": {"base"},
    "disk": {"base", "runtime"},
    "volume": {"base", "runtime", "disk"},
    "nbd": {"base", "runtime", "disk"},
    "vss": {"base", "runtime"},
    "provider": {"base", "runtime", "disk", "volume", "vss"},
    "ese": {"base"},
    "bindings": {"base", "runtime", "disk", "volume", "nbd", "vss", "provider", "ese"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
PRINTING = re.compile(
    r"\b(?:(?:printf|puts|perror|syslog)\s*\(|fprintf\s*\(\s*std(?:out|err)\b)|\bstd::(?:cout|cerr|clog)\b"
)


def included():
    for path in sources(CPP, ".h", ".cpp"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if found := INCLUDE.match(line):
                yield path, number, found[1] == '"', found[2]


def room(path):
    return path.relative_to(CPP).parts[0]


def test_every_folder_is_a_known_room():
    assert {path.name for path in CPP.iterdir() if path.is_dir()} <= MAY_INCLUDE.keys()


def test_rooms_include_only_what_stands_below_them():
    wrong = []
    for path, number, own, name in included():
        target = name.split("/")[0]
        if not own:
            if target in MAY_INCLUDE:
                wrong.append(f'{place(path, number)}: <{name}> is ours: use "{name}"')
            continue
        if not (CPP / name).is_file():
            wrong.append(f'{place(path, number)}: "{name}" is not a path below cpp/')
        elif target != room(path) and target not in MAY_INCLUDE[room(path)]:
            wrong.append(f"{place(path, number)}: {room(path)} may not include {name}")
    assert not wrong, "\n".join(wrong)


def test_only_bindings_includes_pybind11_and_python():
    wrong = [
        f"{place(path, number)}: {name}"
        for path, number, _, name in included()
        if room(path) != "bindings" and (name.startswith("pybind11/") or name == "Python.h")
    ]
    assert not wrong, "\n".join(wrong)


def test_only_win32_includes_windows_headers():
    wrong = [
        f"{place(path, number)}: {name}"
        for path, number, _, name in included()
        if name.lower() in {"windows.h", "vss.h", "vswriter.h", "vsbackup.h", "objbase.h"}
        and "win32" not in path.relative_to(CPP).parts
    ]
    assert not wrong, "\n".join(wrong)


def test_only_runtime_knows_liburing():
    wrong = [
        f"{place(path, number)}: {name}"
        for path, number, _, name in included()
        if name.startswith("liburing") and room(path) != "runtime"
    ]
    assert not wrong, "\n".join(wrong)


def test_every_header_is_included_once():
    wrong = [
        place(path) for path in sources(CPP, ".h") if "#pragma once" not in path.read_text("utf-8")
    ]
    assert not wrong, "\n".join(wrong)


def test_the_engine_never_prints():
    """One exception: a broken invariant says so before it stops the process (check_failed)."""
    wrong = []
    for path in sources(CPP, ".h", ".cpp"):
        text = COMMENT.sub("", path.read_text(encoding="utf-8"))
        lines = [line for line in text.splitlines() if PRINTING.search(line)]
        if room(path) == "base":
            lines = [line for line in lines if "internal check failed" not in line]
        wrong += [f"{place(path)}: {line.strip()}" for line in lines]
    assert not wrong, "\n".join(wrong)
