"""No name of the SDK's headers is missing from our lists; header_facts.cpp compares the values."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INCLUDE = Path("/usr/share/mingw-w64/include")

# Enumerations that no call of a requestor gives or takes, ends of lists, no flags and all flags.
NOT_OURS = re.compile(
    r"_COUNT$|^VSS_BS_UNDEFINED$|^VSS_SM_ALL_FLAGS$|^VSS_PRV_|^VSS_SPROPID_|^VSS_SC_|^VSS_CTX_"
    r"|^VSS_ONLUNSTATECHANGE_|^VSS_MGMT_|^VSS_PROTECTION_"
)


def names(path: Path, pattern: str) -> set[str]:
    """Every name that the pattern's group finds."""
    if not path.is_file():
        pytest.skip(
            f"{path} is missing: apt-get install g++-mingw-w64-x86-64-posix (or run: make setup)"
        )
    return set(
        re.findall(pattern, path.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    )


def test_every_hresult_of_the_header_has_a_row() -> None:
    header = names(INCLUDE / "vsserror.h", r"\b(VSS_[ES]_\w+)\b")
    ours = names(ROOT / "cpp/vss/hresult_list.h", r"\b(VSS_[ES]_\w+),")
    assert len(header) == 81
    assert header - ours == set()


@pytest.mark.parametrize("header", ["vss.h", "vswriter.h"])
def test_every_enumerator_of_the_headers_has_a_row(header: str) -> None:
    found = names(INCLUDE / header, r"^\s+(VSS_\w+) = ")
    ours = names(ROOT / "cpp/vss/enum_list.h", r", (VSS_\w+), ")
    assert len(found) > 20
    assert {name for name in found - ours if not NOT_OURS.search(name)} == set()
