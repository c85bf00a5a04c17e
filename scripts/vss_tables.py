"""Writes python/exshadow/vss/tables.py from the lists of cpp/vss, so that Python has the same
words where the native module is not built. tests/house demands that the file is what this program
makes.

    python scripts/vss_tables.py            write it
    python scripts/vss_tables.py --check    say whether it is up to date
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LISTS = ROOT / "cpp" / "vss"
TARGET = ROOT / "python" / "exshadow" / "vss" / "tables.py"

HEAD = '''"""The enumerations and HRESULTs of VSS with Microsoft's values.

Made by scripts/vss_tables.py from cpp/vss/enum_list.h and cpp/vss/hresult_list.h; edit those.
"""

# ruff: noqa: E501
# fmt: off
from __future__ import annotations

from enum import IntFlag
from typing import Literal

from exshadow.vss.words import Word


'''

DEFINITION = re.compile(r"#define (EXSHADOW_VSS_\w+)\((?:X|E)\)((?:.*\\\n)*.*\n)")
ENUM_ROW = re.compile(r"X\((\w+), (\w+), (-?\w+)\)")
TYPE_ROW = re.compile(r"E\((\w+), [\w:]+, (\w+)\)")
TEXT = r'"((?:[^"\\]|\\.)*)"'
HRESULT_ROW = re.compile(rf"X\((\w+),\s*(\w+),\s*(0x\w+),\s*(\w+),\s*{TEXT},\s*{TEXT}\)")
# The lists' word for each advice that is left out; hresult.cpp has the sentences.
COMMON_ADVICE = re.compile(r"case Retry::(\w+):\s*return\s*" + TEXT + ";")


def definitions(text: str) -> dict[str, str]:
    """Name of each list and its rows, on one line."""
    return {
        name: body.replace("\\\n", " ").replace("\n", " ")
        for name, body in DEFINITION.findall(text)
    }


def number(value: int, *, flags: bool) -> str:
    return f"0x{value:X}" if flags else str(value)


def enumeration(name: str, rows: str, *, flags: bool) -> str:
    base = "IntFlag" if flags else "Word"
    found = ENUM_ROW.findall(rows)
    sdk = found[0][1]
    lines = [f"class {name}({base}):", f'    """{sdk} and its like."""', ""]
    if flags:
        lines.append("    NO_FLAGS = 0")
    lines += [
        f"    {word.upper()} = {number(int(value, 0), flags=flags)}  # {sdk_name}"
        for word, sdk_name, value in found
    ]
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def hresults(text: str, advice: dict[str, str]) -> str:
    rows = HRESULT_ROW.findall(text)
    members = [f"    {name} = {value}" for _, name, value, *_ in rows]
    facts = [
        f"    HResult.{name}: ({', '.join(map(quoted, (retry, meaning, hint or advice[retry])))}),"
        for _, name, _, retry, meaning, hint in rows
    ]
    return "\n".join(
        [
            "class HResult(Word):",
            '    """What the service answers. Values with the bit 0x80000000 are failures."""',
            "",
            *members,
            "",
            "",
            'Retry = Literal["none", "transient", "after_repair", "never"]',
            "",
            "HRESULT_FACTS: dict[HResult, tuple[Retry, str, str]] = {",
            *facts,
            "}",
            '"""What repeating may bring, the meaning, what to do."""',
            "",
        ]
    )


def made() -> str:
    """What the file has to hold."""
    enums = definitions((LISTS / "enum_list.h").read_text(encoding="utf-8"))
    parts = []
    for table, flags in (("EXSHADOW_VSS_ENUMS", False), ("EXSHADOW_VSS_FLAG_SETS", True)):
        for name, rows in TYPE_ROW.findall(enums[table]):
            parts.append(enumeration(name, enums[rows], flags=flags))
    source = (LISTS / "hresult.cpp").read_text(encoding="utf-8")
    advice = dict(COMMON_ADVICE.findall(source))
    listed = definitions((LISTS / "hresult_list.h").read_text(encoding="utf-8"))
    parts.append(hresults(listed["EXSHADOW_VSS_HRESULTS"], advice))
    return HEAD + "\n\n".join(["", *parts]).lstrip("\n")


def main() -> int:
    text = made()
    if "--check" not in sys.argv:
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if TARGET.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"{TARGET.relative_to(ROOT)} is not up to date: scripts/vss_tables.py\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
