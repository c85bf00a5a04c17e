"""How guard and host are started: as the package that this process runs, wherever it lies, and
without the current folder, which belongs to whoever made it, in front of the standard library."""

from __future__ import annotations

import sys
from pathlib import Path

_BEGIN = "import sys; sys.path.append(sys.argv.pop(1)); from exshadow.vss.{0} import main; main()"


def command(module: str, *arguments: object) -> list[str]:
    """The command line of ``exshadow.vss.MODULE``; its main() finds the arguments in sys.argv."""
    place = Path(__file__).absolute().parents[2]
    return [sys.executable, "-P", "-c", _BEGIN.format(module), str(place), *map(str, arguments)]
