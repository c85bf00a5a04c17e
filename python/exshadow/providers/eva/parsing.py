"""Reads what SSSU prints. Pure: text in, values out.

XML comes as one ``<object>`` after the other, without a root, with banners, prompts, echoes, lines
such as ``\\Virtual Disks\\... information:`` and now and then a byte 0x01 in between. A listing
that ends within an object, is not XML or is too large is refused as a whole: half a listing would
make a copy that exists look absent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from xml.etree.ElementTree import Element, ParseError

from exshadow.errors import ProviderError

LIMIT = 64 << 20
"""Characters of one answer that are looked at."""

_DEEPEST = 32
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_TIME = re.compile(r"\s*(\d{1,2})-([A-Za-z]{3})-(\d{4})\s+(\d{1,2}):(\d{2}):(\d{2})\b")
_CONTROL = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BARE = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#\d{1,7}|#x[0-9A-Fa-f]{1,6});)")
_DETAIL = re.compile(
    r"^(?P<indent>[ \t]*)(?P<key>[^:\r\n]*?[^:\s.])[ \t]*\.{2,}[ \t]*: ?(?P<value>.*)$"
)


def objects(text: str) -> tuple[Element, ...]:
    """Every ``<object>`` of an answer, in order. ProviderError when it cannot be trusted."""
    if len(text) > LIMIT:
        raise ProviderError(f"sssu printed {len(text)} characters, more than are looked at")
    start = text.find("<object>")
    if start < 0:
        if "<object" in text:
            raise ProviderError("sssu printed objects in an unknown form")
        return ()
    kept = "\n".join(_lines(text[start:]))
    if kept.count("<object>") != kept.count("</object>"):
        raise ProviderError(
            "sssu's listing ends within an object", hint="the session was cut off: repeat it"
        )
    root = _parsed(_BARE.sub("&amp;", f"<objects>{kept}</objects>"))
    found = tuple(root.iter("object"))
    if _depth(root) > _DEEPEST:
        raise ProviderError("sssu's listing is nested too deeply to be one")
    return found


def _lines(text: str) -> Iterator[str]:
    """Lines that are XML: nothing that starts as a path, nothing without a ``<``; a line that
    begins with other words (a prompt) counts from its first ``<``."""
    for line in _CONTROL.sub("", text).splitlines():
        if "<" not in line or line.lstrip().startswith("\\"):
            continue
        yield line[line.index("<") :][: line.rindex(">") + 1 if ">" in line else None]


def _parsed(text: str) -> Element:
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root: Element = fromstring(text, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as problem:
        raise ProviderError(
            f"sssu's listing is no XML: {problem}",
            hint="names with < or > in them cannot be listed",
        ) from problem
    return root


def _depth(root: Element) -> int:
    deepest, level = 0, [root]
    while level:
        deepest += 1
        level = [child for one in level for child in one]
        if deepest > _DEEPEST:
            break
    return deepest


def value(element: Element, path: str) -> str:
    """Text below ``path``, stripped; empty when it is missing or ``n/a``."""
    found = (element.findtext(path) or "").strip()
    return "" if found.casefold() == "n/a" else found


def whole(text: str) -> int | None:
    """A count that the array printed, None when it did not; fractions are cut."""
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if 0 <= number < 1e18 else None


def gigabytes(text: str) -> int | None:
    """Bytes of a size in GB, None when it is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number * (1 << 30)) if 0 <= number < 1e9 else None


def moment(text: str) -> datetime | None:
    """``17-Jan-2007 03:24:36`` without a time zone, which the array does not tell: not for
    comparing with our clock. English months whatever the locale; None when it is no time."""
    match = _TIME.match(text)
    if not match or match[2].lower() not in _MONTHS:
        return None
    try:
        return datetime(
            int(match[3]), _MONTHS.index(match[2].lower()) + 1, int(match[1]),
            int(match[4]), int(match[5]), int(match[6]),
        )  # fmt: skip
    except ValueError:
        return None


def details(text: str) -> dict[str, str]:
    """The text form: ``key ....: value`` lines. Indented keys get their block's name before them:
    ``presentations.hostname``; a key that comes again gets a number: ``hostname 2``."""
    found: dict[str, str] = {}
    blocks: list[tuple[int, str]] = []
    for line in text[:LIMIT].splitlines():
        match = _DETAIL.match(_CONTROL.sub("", line))
        if not match:
            continue
        indent = len(match["indent"].expandtabs())
        while blocks and blocks[-1][0] >= indent:
            blocks.pop()
        name = ".".join([*(block for _, block in blocks), match["key"].strip()])
        value = match["value"].strip()
        if not value:
            blocks.append((indent, match["key"].strip()))
        count, unique = 1, name
        while unique in found:
            count += 1
            unique = f"{name} {count}"
        found[unique] = value
    return found


def paths(text: str) -> tuple[str, ...]:
    """The list form: one full path a line (``\\Virtual Disks\\Mail\\DB\\ACTIVE``)."""
    lines = (_CONTROL.sub("", line).strip() for line in text[:LIMIT].splitlines())
    return tuple(line for line in lines if line.startswith("\\"))
