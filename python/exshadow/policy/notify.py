"""Tells people of a run: apprise's services, and a dead-man switch that is pinged after a good one.

What cannot be told never fails a run: the reasons come back as text.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

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
