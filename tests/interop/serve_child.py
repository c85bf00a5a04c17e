"""The process that test_crash kills: serves volumes over NBD and splits them as told.

``serve_child.py FOLDER NAME ...``: opens FOLDER/NAME.exv, serves them on FOLDER/nbd.sock, says
``ready``. Every line on stdin is the label of a split of all of them; it is repeated when done.
"""

from __future__ import annotations

import sys
from pathlib import Path

import exshadow


def main(folder: Path, names: list[str]) -> None:
    with exshadow.Engine() as engine:
        volumes = [engine.open(folder / f"{name}.exv") for name in names]
        with engine.serve(folder / "nbd.sock"):
            print("ready", flush=True)
            for line in sys.stdin:
                engine.split(volumes, line.strip())
                print(line.strip(), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
