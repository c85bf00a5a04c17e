"""A host that wants a volume for itself again and again: writes down every moment it has it.

Arguments: URL of the catalog, state file, seconds of a lease, seed.
"""

import os
import random
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

from exshadow.catalog import open_catalog
from exshadow.errors import BusyError
from exshadow.service.keeper import Keeper


def main(url: str, log: str, seconds: float, seed: int) -> None:
    dice = random.Random(seed)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with closing(open_catalog(Path("/nowhere"), url).catalog) as catalog:
        while True:
            keeper = Keeper(catalog, seconds=seconds)
            with suppress(BusyError):
                token = keeper.hold("volume").token
                until = time.monotonic() + dice.uniform(0.2, 3 * seconds)
                while time.monotonic() < until:
                    moment = time.monotonic_ns()
                    keeper.check()
                    os.write(descriptor, f"{moment} {token} {os.getpid()}\n".encode())
                    time.sleep(0.003)
            keeper.close()
            time.sleep(dice.uniform(0, 0.1))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
