"""Command lines, read strictly. All error wording is imagined."""

from __future__ import annotations

from simulators.sfw.world import Refused


class Line:
    """Words of one command, taken from the left."""

    def __init__(self, program: str, words: list[str]) -> None:
        self.program = program
        self.words = list(words)

    def usage(self, why: str) -> Refused:
        return Refused(f"V-0 ERROR: {self.program}: {why}\nSee the command line reference.", 2)

    def options(self, flags: str, valued: str = "", attached: str = "") -> dict[str, str]:
        """Leading options: ``flags`` alone, ``valued`` followed by a word,
        ``attached`` (-gGROUP)."""
        found: dict[str, str] = {}
        while self.words and self.words[0].startswith("-"):
            word = self.words.pop(0)
            letter = word[1:2]
            if letter and letter in attached and len(word) > 2:
                found[letter] = word[2:]
            elif len(word) == 2 and letter in valued:
                if not self.words:
                    raise self.usage(f"{word} needs a value")
                found[letter] = self.words.pop(0)
            elif len(word) == 2 and letter in flags:
                found[letter] = "yes"
            else:
                raise self.usage(f"unknown option {word}")
        return found

    def verb(self, *known: str) -> str:
        if not self.words:
            raise self.usage("no keyword")
        word = self.words.pop(0)
        if word not in known:
            raise self.usage(f"unknown keyword {word}")
        return word

    def one(self, what: str) -> str:
        if not self.words:
            raise self.usage(f"{what} is missing")
        return self.words.pop(0)

    def named(self, *known: str) -> dict[str, str]:
        """All remaining words as Name=value, names in any case."""
        found: dict[str, str] = {}
        for word in self.words:
            name, equals, value = word.partition("=")
            if not equals or name.lower() not in known or not value or name.lower() in found:
                raise self.usage(f"unknown attribute {word}")
            found[name.lower()] = value
        self.words = []
        return found

    def end(self) -> None:
        if self.words:
            raise self.usage(f"unknown attribute {self.words[0]}")


def device(group: str, volume: str) -> str:
    return f"\\Device\\HarddiskDmVolumes\\{group}\\{volume}"
