"""What people see on a terminal of 80 columns: main screens as golden files, and no broken word."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exshadow.cli import output, policy_plan, policy_run, policy_status, provider, views
from exshadow.cli.context import context
from exshadow.errors import IntegrityError, InvalidError, RefusedError
from exshadow.model import Member, SetRecord, Step, Verification
from exshadow.policy import nagios
from exshadow.policy.model import Group, parse
from exshadow.policy.planning import plan_group
from exshadow.policy.standing import GroupStatus, Recovery, Series, status_of
from exshadow.providers.facts import Choice, Refusal, StackKind, VolumeStack
from exshadow.service.choice import GroupChoice
from exshadow.service.policy_run.record import GroupRun

GOLDEN = Path(__file__).parent / "golden"
NOW = datetime(2024, 6, 5, 12, 30, tzinfo=UTC)
ID = "d3c8efa5-4c5c-40cf-ab39-c4421a8896{:02}"


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "columns", lambda stream: 80)
    monkeypatch.setattr(context, "json", False)


def golden(name: str, text: str) -> None:
    """Compare with the golden file; EXSHADOW_GOLDEN=write makes it anew, to be read by a person."""
    wide = [line for line in text.splitlines() if len(line) > 80 and " " in line.strip()]
    assert not wide
    path = GOLDEN / f"screen-{name}.txt"
    if os.environ.get("EXSHADOW_GOLDEN") == "write":
        path.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    assert text.rstrip("\n") + "\n" == path.read_text(encoding="utf-8")


def one_set(
    group: str, hours: int, *, ok: bool | None = True, pinned: str | None = None
) -> SetRecord:
    moment = NOW - timedelta(hours=hours)
    made = f"{moment:%Y-%m-%dT%H:%M:%S}.698Z"
    verdict = None if ok is None else Verification("bytes", ok, made, "96.0 MiB read", 0.3)
    return SetRecord(
        ID.format(hours), f"{moment:%Y%m%dT%H%M%SZ}", group, made, "native", "crash", "ready",
        (Member("db", "m2", "/mirror/db-m2.img", 48 << 20),), verdict, pinned,
        checks=(verdict,) if verdict else (),
    )  # fmt: skip


SETS = [
    one_set("mail", 1),
    one_set("mail", 2, pinned="2027-01-01T00:00:00Z"),
    one_set("files", 40, ok=None),
    one_set("shop", 3, ok=False),
]


def group(**more: object) -> Group:
    return Group.model_validate({"volumes": ["db"], "schedule": "0 * * * *", **more})


def standing() -> list[GroupStatus]:
    share = Series("incompressible", (0.1, 0.1, 0.1, 0.1, 0.1, 0.9))
    return [
        status_of("mail", group(objective="15m", **{"max-age": "2h"}), SETS, now=NOW,
                  recovery=Recovery(95.0, "by 3 jobs"), measured=[share]),
        status_of("files", group(objective="15m"), SETS, now=NOW, recovery=Recovery(1980.0, "")),
        status_of("shop", group(**{"max-age": "1d"}), SETS, now=NOW),
        status_of("new", group(), SETS, now=NOW),
    ]  # fmt: skip


def test_how_groups_stand() -> None:
    golden("status", policy_status._text(standing(), NOW))


def test_how_groups_stand_for_monitoring() -> None:
    """Always one line, however many groups there are; what is worst comes first."""
    number, text = nagios.line(standing())
    assert number == 2
    assert text.startswith("EXSHADOW CRITICAL - shop damaged: check bytes of the newest set failed")
    assert "; 0 of 4 groups ok | 'mail_age'=3599s;7200;;0 'mail_recovery'=95s;900;;0 " in text
    assert "\n" not in text
    number, text = nagios.line(standing()[:1])
    assert (number, text[:19]) == (1, "EXSHADOW WARNING - ")
    problem = InvalidError("cannot | be\nread", hint="mend it")
    assert nagios.unknown(problem) == "EXSHADOW UNKNOWN - cannot / be read; mend it"


def test_what_the_next_run_does() -> None:
    steps = [
        Step("resync set noon into mirror", "mail", "m2", 96 << 20),
        Step("with postgresql frozen, split mirror", "mail", "m2"),
        Step("check the new set by", "mail", "bytes"),
    ]
    wanted = group(keep={"last": 1})
    good = plan_group("mail", wanted, SETS, now=NOW, provider="native", steps=steps)
    problem = (
        "the policy does not say where volume db is; add a table [volume.db] with path = "
        '"/a/very/long/path/that/must/stay/whole/for/people/to/copy/it/from/here/db.img"'
    )
    bad = plan_group("files", wanted, SETS, now=NOW, problems=[problem])
    labels = {one.id: f"{one.group}@{one.label}" for one in SETS}
    texts = [policy_plan._text(one, labels, explain=True) for one in (good, bad)]
    golden("plan", output.flow("\n".join(texts)))


def test_what_a_run_did(capsys: pytest.CaptureFixture[str]) -> None:
    found = [
        GroupRun("mail", "native", "", "m2", SETS[0], warnings=["hook /x ended with 1: no"]),
        GroupRun("files", "eva", "", error=RefusedError("EVA1 has no room", hint="make room")),
        GroupRun("shop", "sfw", "", "m1", SETS[3], error=IntegrityError("bytes: page 7 is bad")),
    ]
    status = policy_run._shown({}, found)
    said = capsys.readouterr()
    golden("run", f"{said.out}--- stderr, exit {status}\n{said.err}")


def test_who_makes_the_copies() -> None:
    refused = (
        Refusal("native", "db is no volume of exshadow: exshadow volume add"),
        Refusal("vss", "there is no Volume Shadow Copy Service here: this is no Windows host"),
    )
    passed = (Refusal("sfw", "eva is preferred"),)
    choice = Choice("eva", None, "named first in the policy", refused, passed)
    stacks = (VolumeStack("db", StackKind.BASIC, 1), VolumeStack("logs", StackKind.BASIC, 1))
    golden("choose", provider._choice_text(GroupChoice("mail", choice, stacks, {})))


def test_sets_go_on_below_where_the_terminal_is_too_narrow() -> None:
    """Empty columns are left out; values stay whole, and stay in columns."""
    text = views.sets(SETS)
    golden("sets", text)
    assert all(one.id in text for one in SETS)


def test_faults_of_a_policy(capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        '[group.shop]\nvolumes = ["db"]\nverify = ["sqllite"]\nkeep.hourli = 24\nobjective = "x"\n'
    )
    with pytest.raises(InvalidError) as fault:
        parse(text, "/etc/exshadow/policies/of-the-second-mail-server/policy.toml")
    output.fail(fault.value)
    golden("faults", capsys.readouterr().err)


def test_elsewhere_lines_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe, a file, a terminal that says no usable width: one row, one line."""
    monkeypatch.undo()
    assert output.columns(None) is None
    assert len(views.sets(SETS).splitlines()) == 1 + len(SETS)
    assert output.flow("word " * 50) == "word " * 50


def test_paragraphs_of_help_fill_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the source breaks its lines is nobody's business; lists keep theirs."""
    from cyclopts.help.inline_text import InlineText

    from exshadow.cli.page import HelpPage

    monkeypatch.setattr(context, "json", True)
    page = HelpPage(to_stderr=False)
    page.print(InlineText.from_format("One\nand two.\n\n- first\n- second", "plaintext"))
    assert page.text() == "One and two.\n\n- first\n- second\n"
