"""exshadow help exit-codes | ese"""

from __future__ import annotations

from exshadow.cli import options, output

app = options.group("help")

EXIT_CODES = {
    0: "done",
    1: "unexpected error",
    2: "wrong usage",
    3: "no such volume, group, plex, set, file",
    4: "refused in this state",
    5: "integrity check failed, or differences found",
    6: "a writer or provider failed",
    7: "I/O error",
    8: "locked or busy",
    9: "objective missed or copy too old (policy status)",
    130: "interrupted; state is resumable",
}

_PLUGIN = (
    "policy status --nagios has those of monitoring plugins: 0 OK, 1 WARNING (too old, too slow, "
    "unusual), 2 CRITICAL (no set, a check failed), 3 UNKNOWN (it cannot be told, wrong usage)."
)


@app.command(name="exit-codes")
def exit_codes() -> int:
    """List the exit statuses.

    Example: exshadow help exit-codes
    """
    codes = [{"exit": status, "meaning": meaning} for status, meaning in EXIT_CODES.items()]
    text = output.table(("EXIT", "MEANING"), list(EXIT_CODES.items()), numbers=("EXIT",))
    return output.show({"exit_codes": codes}, f"{text}\n\n{output.flow(_PLUGIN)}")


@app.command(name="ese")
def ese_blind_spots() -> int:
    """List the damage that `ese check` cannot see, because the format does not show it.

    Example: exshadow help ese
    """
    from exshadow.ese.reports import BLIND_SPOTS

    text = "\n".join(["`ese check` cannot see:", *(f"  {spot}" for spot in BLIND_SPOTS)])
    return output.show({"blind_spots": list(BLIND_SPOTS)}, text)
