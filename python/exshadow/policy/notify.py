"""Tells people of a run: apprise's services, and a dead-man switch that is pinged after a good one.

What cannot be told never fails a run: the reasons come back as text.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

from exshadow.names import meant
from exshadow.policy.model import NotifyPart

Outcome = Literal["success", "warning", "failure"]
_T = TypeVar("_T")
_PING_SECONDS = 10.0
_SEND_SECONDS = 60.0  # all of one notification
_REDIRECTS = 10


@dataclass(frozen=True, slots=True)
class Message:
    """What there is to tell of one group."""

    outcome: Outcome
    title: str
    text: str


def tell(part: NotifyPart, message: Message) -> list[str]:
    """Send it to those who want to hear of such an outcome; what could not be sent, and why. An
    outcome that is no failure also pings the dead-man switch."""
    problems = []
    if part.urls and message.outcome in part.on:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of what apprise itself imports
            problems += _send(part.urls, message)
    if part.ping and message.outcome != "failure":
        problems += _ping(part.ping)
    return problems


def misunderstood(part: NotifyPart) -> list[tuple[str, str]]:
    """Addresses that nothing could be sent to: their key, and what is wrong. Nobody is asked."""
    found = []
    if part.urls:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            found = [("urls", text) for url in part.urls if (text := _unknown(url))]
    if part.ping is not None:
        scheme, slashes, rest = part.ping.partition("://")
        if scheme not in ("http", "https") or not slashes or not rest.strip("/"):
            found.append(("ping", "write an address such as https://example.com/ping/ID"))
    return found


def _unknown(url: str) -> str:
    """What apprise does not understand of a URL; empty when it does."""
    import apprise
    from apprise.manager_plugins import NotificationManager

    if apprise.Apprise().add(url):
        return ""
    service, colon, _ = url.partition("://")
    known: list[str] = NotificationManager().schemas()  # type: ignore[no-untyped-call]
    if not colon:
        return "an address of a notification is SERVICE://..., as apprise has them"
    if service.lower() not in known:
        return f"apprise knows no service {service}://{meant(service, known)}"
    return (
        f"apprise does not understand this {service}:// address: a part of it is missing or wrong"
    )


def _send(urls: tuple[str, ...], message: Message) -> list[str]:
    import apprise

    kinds = {"success": "success", "warning": "warning", "failure": "failure"}
    problems = []
    for url in urls:
        # URLs hold passwords: only the service's name is ever shown.
        service = url.partition(":")[0]
        sender = apprise.Apprise()
        if not sender.add(url):
            problems.append(f"notification by {service}: apprise does not know this URL")
            continue
        send = partial(
            sender.notify,
            body=message.text,
            title=message.title,
            notify_type=kinds[message.outcome],
        )
        taken = _at_most(_SEND_SECONDS, send)
        if taken is None:
            problems.append(f"notification by {service}: no answer within {_SEND_SECONDS:g} s")
        elif not taken:
            problems.append(f"notification by {service} was not taken")
    return problems


def _ping(url: str) -> list[str]:
    import httpx

    def ask() -> str:
        try:
            return _asked(url)
        except httpx.TimeoutException:
            return f"no answer within {_PING_SECONDS:g} s"
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            return problem.__class__.__name__

    wrong = _at_most(_PING_SECONDS, ask)
    if wrong is None:
        wrong = f"no answer within {_PING_SECONDS:g} s"
    host = url.split("/")[2] if "//" in url else url
    return [f"ping of {host.rpartition('@')[2]}: {wrong}"] if wrong else []


def _asked(url: str) -> str:
    """What is wrong with the answer; empty for a good one. Bodies are not read: one may never
    end."""
    import httpx

    with httpx.Client(timeout=_PING_SECONDS) as client:
        request = client.build_request("GET", url)
        for _ in range(_REDIRECTS):
            answer = client.send(request, stream=True)
            answer.close()
            if answer.next_request is None:
                return "" if answer.is_success else f"it answered {answer.status_code}"
            request = answer.next_request
    return "it leads from one address to another without end"


def _at_most(seconds: float, call: Callable[[], _T]) -> _T | None:
    """What the call gives; None when it takes longer, it is left alone then. The limits of clients
    are for one step each: a server that sends a byte now and then would hold a run for ever."""
    found: list[_T | BaseException] = []

    def work() -> None:
        try:
            found.append(call())
        except BaseException as problem:
            found.append(problem)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        return None
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]
