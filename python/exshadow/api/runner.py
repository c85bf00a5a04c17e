"""exshadow serve: opens, serves, watches, and on SIGTERM or SIGINT lets go in order.

The main thread only waits and watches; HTTP has a thread with uvicorn's loop, every request and
every job threads of their own, and all I/O happens on the engine's loop.
"""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn

from exshadow.api import systemd
from exshadow.api.app import make_app
from exshadow.api.daemon import Daemon
from exshadow.api.instruments import Instruments
from exshadow.api.peers import CheckedProtocol
from exshadow.api.status import describe
from exshadow.errors import InvalidError, RefusedError, make
from exshadow.model import Json
from exshadow.service.checks.record import clear
from exshadow.service.drills.place import clear as clear_drills
from exshadow.service.house import LATENCY_LIMIT, House, HouseDesk, Offer
from exshadow.service.ownership import own
from exshadow.service.reporter import Reporter
from exshadow.service.resume import resume
from exshadow.service.state import StateFolder
from exshadow.service.tasks import Tasks

_WATCH_SECONDS = 2.0
_HTTP_START_SECONDS = 30.0


def loopback(text: str) -> tuple[str, int]:
    """Host and port of ``127.0.0.1:10809``. RefusedError for what leaves this machine."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise InvalidError(f"{text!r} is no address and port", hint="e.g. 127.0.0.1:10809")
    with suppress(ValueError):
        if ipaddress.ip_address("127.0.0.1" if host == "localhost" else host).is_loopback:
            return host, int(port)
    raise RefusedError(
        f"NBD is not offered on {host or 'all addresses'}: there is no TLS yet, "
        "anybody on the network could read and write",
        hint="use 127.0.0.1 or [::1], and a tunnel such as ssh -L",
    )


def run(
    folder: StateFolder,
    groups: Sequence[str],
    offer: Offer,
    reporter: Reporter,
    ready: Callable[[Json], None],
    *,
    latency_limit: float = LATENCY_LIMIT,
) -> None:
    """Serve until a signal. BusyError when another daemon serves the folder.

    `ready` is called once everything answers, with what ``/v1/status`` says.
    """
    folder.create()
    with own(folder), _stop_signals() as stop:
        for left in (*clear(folder), *clear_drills(folder)):
            reporter.note(f"left of an interrupted check: {left}")
        house = House(folder, groups, latency_limit)
        tasks = Tasks(house)
        try:
            daemon = Daemon(house, tasks, Instruments(house, tasks))
            tasks.on_end = daemon.ended
            desk = HouseDesk(house, reporter)
            for name, problem in house.open_all(desk).items():
                reporter.note(f"volume {name} is not served: {problem}")
            house.serve(offer)
            with _http(daemon):
                for task in resume(tasks):
                    reporter.note(f"continued: {task.order.what}")
                ready(describe(daemon))
                systemd.notify("READY=1", f"STATUS=serving {len(house.names())} volumes")
                _watch(daemon, reporter, stop)
                systemd.notify("STOPPING=1", "STATUS=draining")
                tasks.close()
        finally:
            tasks.close()
            house.close()
    reporter.note("stopped; every volume is closed clean")


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; the old handlers come back afterwards."""
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _http(daemon: Daemon) -> Iterator[None]:
    """The control socket, answered by a thread of its own."""
    path = daemon.house.folder.control_socket
    listener = _listen(path)
    config = uvicorn.Config(
        make_app(daemon),
        http=CheckedProtocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listener]}, name="control", daemon=True
    )
    thread.start()
    deadline = time.monotonic() + _HTTP_START_SECONDS
    while not server.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(15)
        path.unlink(missing_ok=True)


def _listen(path: Path) -> socket.socket:
    """A Unix socket for its owner only. One that a killed daemon left is replaced: we hold the
    folder's lock, so it is nobody's."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        hint = "a socket's path has at most 107 bytes" if len(str(path)) > 107 else ""
        raise make("invalid", f"cannot listen on {path}: {error}", hint) from error
    finally:
        os.umask(mask)
    listener.listen(128)
    return listener


def _watch(daemon: Daemon, reporter: Reporter, stop: threading.Event) -> None:
    """Until told to stop: record and say what happens to the volumes, feed the watchdog."""
    desk = HouseDesk(daemon.house)
    period = min(_WATCH_SECONDS, systemd.watchdog_seconds() or _WATCH_SECONDS)
    while not stop.wait(period):
        daemon.house.check_leases()
        for name, events in daemon.house.fresh_events().items():
            desk.record(lambda catalog, n=name, e=events: catalog.add_events(n, e))  # type: ignore[misc]
            for text in events:
                reporter.note(f"volume {name}: {text}")
        # Reached only when the engine's loop answered for every volume.
        systemd.notify("WATCHDOG=1")
