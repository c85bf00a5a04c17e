"""The commands of the imitated SSSU 6.0 and what the array permits.

Known from the fact sheet: the command words, SNAPSHOT, LUN, DELETE, WRITECACHE, FIND and listing
grammar, the status line, the syntax, "managed by another agent" and "not valid until" errors, the
rules of section 2.1. Imagined, because no source has it: the switches FRACTURE, RESYNC,
INSTANT_RESTORE, DETACH, NAME, MULTIMIRROR, the repetition in MULTISNAP (in two grammars), the words
for a snaptype, and the wording of every other refusal. What is in neither list is a syntax error.
"""

from __future__ import annotations

import re
from pathlib import Path

from eva_array import listing, rules
from eva_array.rules import Refused

TOKEN = re.compile(r'(?:(?P<key>[A-Za-z_]+)=)?(?:"(?P<quoted>[^"]*)"|(?P<plain>[^\s"=]+))')


class Syntax(Exception):
    """At this column."""


class Help(Exception):
    """These options are legal here."""


class Words:
    """A command's words, taken one after the other."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self.end = text

    def done(self) -> bool:
        return not self.text[self.at :].strip()

    def next(self) -> tuple[str, str, bool]:
        """Key (upper case, empty without one), value, whether it was quoted."""
        at = self.at + len(self.text[self.at :]) - len(self.text[self.at :].lstrip())
        match = TOKEN.match(self.text, at)
        if not match:
            raise Syntax(at)
        self.begin, self.at = at, match.end()
        quoted = match["quoted"] is not None
        return (match["key"] or "").upper(), match["quoted"] if quoted else match["plain"], quoted

    def word(self, *legal: str) -> str:
        key, value, quoted = self.next()
        if value == "?" and not key:
            raise Help(legal)
        if key or quoted or (legal and value.upper() not in legal):
            raise Syntax(self.begin)
        return value.upper()

    def name(self) -> str:
        key, value, _ = self.next()
        if key:
            raise Syntax(self.begin)
        return value

    def switches(self, legal, until_name: bool = False):
        """KEY=value and lone words of ``legal``; with ``until_name`` stops at the next name. A
        ``?`` asks for the legal ones, also after ``KEY=``."""
        if self.text.rstrip().endswith("?"):
            raise Help(sorted(legal))
        found = {}
        while not self.done():
            before = self.at
            key, value, quoted = self.next()
            if not key and not quoted and value.upper() in legal:
                found[value.upper()] = ""
            elif key in legal:
                found[key] = value
            elif until_name and not key:
                self.at = before
                break
            else:
                raise Syntax(self.begin)
        return found


class Session:
    """What one running sssu knows of itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manager = False
        self.system = ""
        self.status = False
        self.xml_status = False
        self.goes_on = False
        self.width = 80

    def run(self, state, line: str) -> str:
        """The output. Refused or Syntax when it is not done."""
        words = Words(line)
        first = words.word("LS", "FIND", "ADD", "SET", "DELETE", "SELECT")
        if first == "SELECT":
            return self._select(state, words)
        if first == "SET" and re.match(r"\s*OPTIONS\b", line[words.at :], re.IGNORECASE):
            words.word()
            return self._options(state, words)
        if not self.manager:
            raise Refused("Command not valid until a manager is selected (SELECT MANAGER)")
        if first == "LS" and re.match(r"\s*SYSTEM\b", line[words.at :], re.IGNORECASE):
            words.word()
            return self._ls_system(state, words)
        if not self.system and not re.match(r"(?i)\s*SET\s+SYSTEM\b", line):
            raise Refused("Command not valid until a system is selected (SELECT SYSTEM)")
        table = {"LS": self._ls, "FIND": self._find, "ADD": self._add, "SET": self._set,
                 "DELETE": self._delete}  # fmt: skip
        if first not in table:
            raise Syntax(words.begin)
        return table[first](state, words)

    def _select(self, state, words: Words) -> str:
        what, name = words.word("MANAGER", "SYSTEM"), words.name()
        if what == "MANAGER":
            given = words.switches({"USERNAME", "PASSWORD"})
            self.log_in(state, name, given.get("USERNAME", ""), given.get("PASSWORD", ""))
            return ""
        if not words.done():
            raise Syntax(words.at)
        if not self.manager:
            raise Refused("Command not valid until a manager is selected (SELECT MANAGER)")
        if name != state["array"]["name"]:
            raise Refused(f"System not found: {name}")
        self.system = name
        return ""

    def log_in(self, state, manager: str, user: str, password: str) -> None:
        array = state["array"]
        if (manager, user, password) != (array["manager"], array["user"], array["password"]):
            raise Refused("opening https connection")
        self.manager = True

    def _options(self, state, words: Words) -> str:
        legal = {"ON_ERROR", "DISPLAY_STATUS", "HIDE_STATUS", "DISPLAY_XMLSTATUS", "RETRIES",
                 "NORETRIES", "DISPLAY_WIDTH", "COMMAND_DELAY", "NOCOMMAND_DELAY", "SAFE_DELETE",
                 "NOSAFE_DELETE"}  # fmt: skip
        given = words.switches(legal)
        if not state["traps"]["no_status"]:
            self.status = ("DISPLAY_STATUS" in given or self.status) and "HIDE_STATUS" not in given
            self.xml_status |= "DISPLAY_XMLSTATUS" in given
        self.goes_on = given.get("ON_ERROR", "").upper() == "CONTINUE" or self.goes_on
        self.width = int(given.get("DISPLAY_WIDTH", self.width))
        return ""

    # --- looking ---

    def _ls_system(self, state, words: Words) -> str:
        given = words.switches({"FULL", "XML"}, until_name=True)
        if not words.done():
            if words.name() != state["array"]["name"]:
                raise Refused("object not found")
            given |= {"FULL": ""} | words.switches({"FULL", "XML"})
        record = listing.system_record(state)
        if "FULL" not in given:
            return f"Systems available on this Manager:\n  {record['objectname']}\n"
        return listing.xml(record) if "XML" in given else listing.text(record)

    def _ls(self, state, words: Words) -> str:
        rules.owned(state)
        kind = words.word("VDISK", "SNAPSHOT", "CONTAINER", "DISK_GROUP", "HOST", "LUN")
        given, wanted = words.switches({"FULL", "XML"}, until_name=True), ""
        if not words.done():
            if given:
                raise Syntax(words.at)
            wanted = words.name()
            given |= {"FULL": ""} | words.switches({"FULL", "XML"})
        records = list(self._records(state, kind))
        if wanted:
            records = [one for one in records if wanted in rules.names(one)]
            if not records:
                raise Refused(f"object not found: {wanted}")
        if "FULL" not in given:
            head = f"{kind.capitalize()}s available on this Cell:\n"
            return head + "".join(f"  {one['objectname']}\n" for one in records)
        if "XML" not in given:
            return "".join(listing.text(one) for one in records)
        prompt = f"{self.system}> " if state["traps"]["dirty_xml"] else ""
        banner = "SSSU for HP StorageWorks Command View EVA\n" if prompt else ""
        return banner + "".join(listing.xml(one, prompt) for one in records)

    def _records(self, state, kind: str):
        if kind == "DISK_GROUP":
            for path, group in state["groups"].items():
                yield listing.group_record(state, self.folder, path, group)
        elif kind == "HOST":
            yield from (listing.host_record(path) for path in state["hosts"])
        elif kind == "LUN":
            yield from (listing.lun_record(state, lun) for lun in state["luns"])
        else:
            forms = {"SNAPSHOT": ("demand", "fully"), "CONTAINER": ("container",)}
            others = ("original", "snapclone", "mirrorclone")
            for one in state["vdisks"].values():
                if one["form"] in forms.get(kind, others):
                    yield listing.vdisk_record(state, self.folder, one)

    def _find(self, state, words: Words) -> str:
        rules.owned(state)
        words.word("VDISK")
        given = words.switches({"LUNWWID", "XML"})
        wanted = given.get("LUNWWID", "").replace("-", "").lower()
        for one in state["vdisks"].values():
            if one["wwn"] == wanted:
                record = listing.vdisk_record(state, self.folder, one)
                return listing.xml(record) if "XML" in given else f"{record['objectname']}\n"
        raise Refused("object not found")

    # --- changing ---

    def _add(self, state, words: Words) -> str:
        rules.owned(state)
        kind = words.word("CONTAINER", "SNAPSHOT", "COPY", "MULTISNAP", "MIRRORCLONE", "LUN")
        if kind == "MULTISNAP":
            return self._multisnap(state, words)
        name = words.name()
        legal = {
            "CONTAINER": {"DISKGROUP", "SIZE", "REDUNDANCY"},
            "SNAPSHOT": {"VDISK", "ALLOCATION_POLICY", "REDUNDANCY", "WORLD_WIDE_LUN_NAME",
                         "CONTAINER"},
            "COPY": {"VDISK", "DISK_GROUP", "REDUNDANCY", "CONTAINER", "WAIT_FOR_COMPLETION",
                     "SNAPCLONE", "WORLD_WIDE_LUN_NAME"},
            "MIRRORCLONE": {"VDISK", "DISK_GROUP", "REDUNDANCY"},
            "LUN": {"VDISK", "HOST"},
        }  # fmt: skip
        given = words.switches(legal[kind])
        if kind == "CONTAINER":
            rules.add_container(state, self.folder, name, given)
        elif kind == "LUN":
            rules.add_lun(state, self.folder, name, given)
        elif kind == "MIRRORCLONE":
            rules.add_mirrorclone(state, self.folder, name, given)
        else:
            form = "snapclone" if kind == "COPY" else ""
            rules.point_copies(state, self.folder, [(name, given, form)])
        return ""

    def _multisnap(self, state, words: Words) -> str:
        members = []
        legal = {"VDISK", "CONTAINER", "ALLOCATION_POLICY", "WORLD_WIDE_LUN_NAME", *rules.SNAPTYPES}
        if state["traps"]["set_named"]:
            return self._named_multisnap(state, words)
        while not words.done():
            name = words.name()
            given = words.switches(legal, until_name=True)
            kinds = [rules.SNAPTYPES[one] for one in rules.SNAPTYPES if one in given]
            if not kinds and given.get("ALLOCATION_POLICY", "").upper() == "DEMAND":
                kinds = ["demand"]
            if len(kinds) != 1:
                raise Syntax(words.at)
            members.append((name, given, kinds[0]))
        if not members:
            raise Syntax(words.at)
        rules.point_copies(state, self.folder, members)
        return ""

    def _named_multisnap(self, state, words: Words) -> str:
        """One name, then VDISK, CONTAINER and snaptype again and again. How the copies are numbered
        is imagined."""
        head, members = words.name(), []
        while not words.done():
            given = {}
            for key in ("VDISK", "CONTAINER"):
                said, given[key], _ = words.next()
                if said != key:
                    raise Syntax(words.begin)
            kind = rules.SNAPTYPES[words.word(*rules.SNAPTYPES)]
            members.append((f"{head}_{len(members) + 1}", given, kind))
        if not members:
            raise Syntax(words.at)
        rules.point_copies(state, self.folder, members)
        return ""

    def _set(self, state, words: Words) -> str:
        kind = words.word("VDISK", "SYSTEM", "MULTISNAP", "MULTIMIRROR")
        if kind == "SYSTEM":
            words.name()
            if set(words.switches({"MANAGE"})) != {"MANAGE"}:
                raise Syntax(words.at)
            state["array"]["managed_by"] = ""
            return ""
        rules.owned(state)
        if kind == "MULTIMIRROR":
            words.word("FRACTURE")
            names = []
            while not words.done():
                key, value, _ = words.next()
                if key != "VDISK":
                    raise Syntax(words.begin)
                names.append(value)
            rules.fracture(state, self.folder, names)
            return ""
        if kind == "MULTISNAP":
            words.word("PREPARE")
            given = words.switches({"VDISK", "CONTAINER", *rules.SNAPTYPES})
            rules.prepare(state, given.get("CONTAINER", ""), given)
            return ""
        return self._set_vdisk(state, words)

    def _set_vdisk(self, state, words: Words) -> str:
        name = words.name()
        given = words.switches({"WRITECACHE", "PREPARE", "VDISK", *rules.SNAPTYPES, "FRACTURE",
                                "RESYNC", "INSTANT_RESTORE", "DETACH", "NAME"})  # fmt: skip
        if "PREPARE" in given:
            rules.prepare(state, name, given)
            return ""
        if len(given) != 1:
            raise Syntax(words.at)
        [(what, value)] = given.items()
        if what == "FRACTURE":
            rules.fracture(state, self.folder, [name])
        elif what == "RESYNC":
            rules.resync(state, self.folder, name)
        elif what == "INSTANT_RESTORE":
            rules.restore(state, self.folder, name, value)
        elif what == "DETACH":
            rules.detach(state, name)
        elif what == "NAME":
            rules.rename(state, name, value)
        elif what == "WRITECACHE":
            rules.write_cache(state, name, value)
        else:
            raise Syntax(words.at)
        return ""

    def _delete(self, state, words: Words) -> str:
        rules.owned(state)
        kind, name = words.word("VDISK", "LUN"), words.name()
        words.switches({"WAIT_FOR_COMPLETION", "NOWAIT_FOR_COMPLETION"} if kind == "VDISK" else {})
        if kind == "LUN":
            rules.delete_lun(state, self.folder, name)
        else:
            rules.delete_vdisk(state, self.folder, name)
        return ""
