"""Tells people of a run: apprise's services, and a dead-man switch that is pinged after a good one.

What cannot be told never fails a run: the reasons come back as text.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

from exshadow.names import meant
from exshadow.policy.model import NotifyPart

Outcome = Literal["success", "warning", "failure"]
_PING_SECONDS = 10.0


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
        elif not sender.notify(
            body=message.text, title=message.title, notify_type=kinds[message.outcome]
        ):
            problems.append(f"notification by {service} was not taken")
    return problems


def _ping(url: str) -> list[str]:
    import httpx

    try:
        httpx.get(url, timeout=_PING_SECONDS, follow_redirects=True).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        host = url.split("/")[2] if "//" in url else url
        return [f"ping of {host.rpartition('@')[2]}: {problem.__class__.__name__}"]
    return []
