"""Print what pyproject.toml requires, one line each: `requirements.py build|run|EXTRA ...`."""

import sys
import tomllib
from pathlib import Path

settings = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
groups = {
    "build": settings["build-system"]["requires"],
    "run": settings["project"]["dependencies"],
    **settings["project"]["optional-dependencies"],
}
for name in sys.argv[1:]:
    sys.stdout.write("".join(f"{requirement}\n" for requirement in groups[name]))
