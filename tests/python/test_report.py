"""The status page: complete, escaped, self-contained, and right in a real browser."""

import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from exshadow.catalog.journal import Entry
from exshadow.catalog.mirrors import last_known
from exshadow.model import Member, PlexRecord, SetRecord, Verification, VolumeRecord
from exshadow.policy.model import Group
from exshadow.policy.standing import Recovery, status_of
from exshadow.providers.contract import Action, Source, Verb
from exshadow.report.facts import page
from exshadow.report.render import render

NOW = datetime(2024, 6, 5, 12, tzinfo=UTC)


def one_set(hours, *, ok, label=None, pinned=None, check="bytes", state="ready"):
    made = f"{NOW - timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"
    verdict = None if ok is None else Verification(check, ok, made, "read", 3.5)
    checks = (verdict,) if verdict else ()
    return SetRecord(
        f"id-{hours}", label or f"h{hours}", "mail", made, "native", "application", state,
        (Member("db", "m1", "/m1", 1 << 30),), verdict, pinned, checks=checks,
    )  # fmt: skip


SETS = [
    one_set(50, ok=True, check="drill", state="dissolved", label="gone"),
    one_set(30, ok=True),
    one_set(20, ok=None, pinned="forever"),
    one_set(10, ok=False),
]
VOLUME = VolumeRecord(
    "db", "u", "mail", 1 << 30, 65536, "ok", True, 1,
    (PlexRecord("p1", "/srv/<db>.img", "in_sync", 1 << 30),
     PlexRecord("m1", "/m1", "stale", 1 << 30, bytes_to_sync=1 << 20)), (),
)  # fmt: skip
JOB = {
    "volume": "db", "kind": "resync", "started": "2024-06-05T11:00:00Z", "seconds": 2.0,
    "bytes_copied": 3 << 20, "bytes_zeroed": 0, "state": "done",
}  # fmt: skip


def made(recovery=Recovery(2000.0, "by 2 jobs"), problems=()):  # noqa: B008
    group = Group(volumes=("db",), objective="20m")
    found = status_of("mail", group, SETS, now=NOW, recovery=recovery)
    return render(
        page("Recovery on <host>", [found], SETS, {"db": VOLUME}, [JOB], problems, now=NOW)
    )


class Reader(HTMLParser):
    """Tags that are open at the end, and everything that would be fetched."""

    def __init__(self):
        super().__init__()
        self.open, self.fetched, self.circles = [], [], {}

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.fetched += [found[name] for name in ("src", "href") if name in found]
        if tag == "circle":
            kind = found["class"]
            self.circles[kind] = self.circles.get(kind, 0) + 1
        if tag not in ("meta", "br", "line", "circle") and tag != "link":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_fetches_nothing():
    reader = Reader()
    reader.feed(made())
    assert reader.open == []
    assert reader.fetched == []
    assert reader.circles == {"dot": 3, "pin": 1}  # the dissolved set is no dot
    assert "url(" not in made()


def test_what_people_need_is_there():
    text = re.sub(r"<[^>]+>", " ", made(problems=("volume x: damaged",)))
    for wanted in (
        "damaged", "check bytes of the newest set failed", "Estimated 33 min, objective 20 min",
        "passed", "in 4 s", "3.0 MiB", "1.0 MiB", "stale", "pinned for ever", "volume x: damaged",
    ):  # fmt: skip
        assert wanted in re.sub(r"\s+", " ", text), wanted


def entry(verb, state, *, mirror="m1", at=1, set_id="", provider="eva", detail=""):
    moment = f"{NOW - timedelta(hours=50 - at):%Y-%m-%dT%H:%M:%SZ}"
    sources = (Source("db", "/dev/sda", 1 << 30),)
    action = Action(f"{at}", verb, "mail", mirror, sources, set_id)
    return Entry(action, provider, "run", state, moment, moment, detail)


def test_mirrors_of_other_products_are_as_the_journal_last_has_them():
    ran = [
        entry(Verb.PREPARE, "done", at=1),
        entry(Verb.SPLIT, "done", at=2, set_id="id-30"),
        entry(Verb.PRESENT, "undone", at=3, set_id="id-30"),
        entry(Verb.PREPARE, "failed", mirror="m2", at=4, detail="no room <left>"),
        entry(Verb.PREPARE, "done", mirror="m3", at=5),
        entry(Verb.DISSOLVE, "done", mirror="m3", at=6, set_id="x"),
        entry(Verb.RESYNC, "started", mirror="m4", at=7, set_id="y"),
        entry(Verb.PREPARE, "done", mirror="p1", at=8, provider="native"),
    ]
    found = last_known(ran, ["native"])
    assert [(one.mirror, one.state) for one in found] == [
        ("m1", "split"), ("m2", "failed"), ("m4", "resyncing"),
    ]  # fmt: skip
    status = status_of("mail", Group(volumes=("db",)), SETS, now=NOW)
    text = render(page("t", [status], SETS, {}, [], [], now=NOW, mirrors={"mail": found}))
    for told in ("h30", "2 days ago", "/dev/sda", "in other products", "no room &lt;left&gt;"):
        assert told in text
    assert "m3" not in text


def test_lent_mirrors_and_refused_actions_have_not_failed():
    ran = [
        entry(Verb.SPLIT, "done", mirror="m1", at=1, set_id="x"),
        entry(Verb.LEND, "done", mirror="m1", at=2, set_id="x"),
        entry(Verb.PREPARE, "done", mirror="m2", at=3),
        entry(Verb.PREPARE, "refused", mirror="m2", at=4),
        entry(Verb.SPLIT, "done", mirror="m3", at=5, set_id="y"),
        entry(Verb.RESTORE, "refused", mirror="m3", at=6, set_id="y"),
    ]
    states = [(one.mirror, one.state) for one in last_known(ran)]
    assert states == [("m1", "lent"), ("m2", "in_sync"), ("m3", "split")]
    recalled = [*ran, entry(Verb.RECALL, "done", mirror="m1", at=7, set_id="x")]
    assert last_known(recalled)[0].state == "split"


def test_many_sets_are_folded_and_the_bad_ones_drawn_last():
    many = [one_set(hours, ok=hours % 9 != 0) for hours in range(400, 0, -1)]
    status = status_of("mail", Group(volumes=("db",)), many, now=NOW)
    found = page("t", [status], many, {}, [], [], now=NOW)
    assert [one.kind for one in found.groups[0].dots][-44:] == ["bad"] * 44
    assert "380 older ones" in render(found)


def test_sets_seconds_apart_are_drawn_above_one_another():
    near = [one_set(30, ok=True), *(one_set(1 + second / 3600, ok=True) for second in range(3))]
    found = status_of("mail", Group(volumes=("db",)), near, now=NOW)
    facts = page("t", [found], near, {}, [], (), now=NOW)
    assert sorted(dot.row for dot in facts.groups[0].dots) == [0, 0, 1, 2]
    assert 'cy="16"' in render(facts)


def test_values_are_escaped():
    text = made()
    assert "<host>" not in text
    assert "/srv/&lt;db&gt;.img" in text


def test_nothing_known_makes_a_page_too():
    empty = render(page("t", [], [], {}, [], [], now=NOW))
    assert "volume add" in empty
    assert "No estimate" in made(Recovery(None, "nothing was measured yet"))


def test_the_command_writes_it_whole(cli, image, tmp_path):
    cli("volume", "add", "db", image("db.img"))
    target = tmp_path / "status.html"
    document = cli.json("report", "--html", target)["report"]
    assert [one["group"] for one in document["groups"]] == ["db"]
    assert "<h2>db</h2>" in target.read_text()
    cli.error(3, "report", "--html", tmp_path / "none" / "x.html")
    cli.error(3, "report", "--html", target, "--policy", tmp_path / "none.toml")
    assert sorted(path.name for path in tmp_path.glob(".status*")) == []


@pytest.mark.parametrize("scheme", ["0", "1"])
def test_a_browser_draws_it(tmp_path, scheme):
    """In the dark (0) and in the light: the ground is what the scheme says."""
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs chromium: run scripts/packages.sh")
    (tmp_path / "page.html").write_text(made())
    picture = tmp_path / "page.png"
    subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         f"--user-data-dir={tmp_path}/profile", f"--blink-settings=preferredColorScheme={scheme}",
         "--window-size=1000,900", f"--screenshot={picture}", f"file://{tmp_path}/page.html"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    dark = first_pixel(picture.read_bytes()) < 0x40
    assert dark == (scheme == "0")


def first_pixel(png):
    """Red of the corner, by hand: a library for one pixel would be much."""
    import struct
    import zlib

    data, at = b"", 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        data += png[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    return zlib.decompress(data)[1]
