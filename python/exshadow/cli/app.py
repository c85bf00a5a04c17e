"""The whole command line: verb groups, each loaded when it is needed, and the global options."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from cyclopts import App, Group, Parameter

from exshadow.cli import options
from exshadow.cli.context import context
from exshadow.cli.doctor import bench, doctor
from exshadow.cli.help import app as help_topics
from exshadow.cli.restore import restore

_GLOBAL = Group("Global options", sort_key=100)

app = App(
    name="exshadow",
    help="Mirror production volumes, split copies off at one instant, restore from them.\n\n"
    "Example: exshadow volume add db /srv/db.img",
    help_epilogue="Exit statuses: exshadow help exit-codes",
    **options.SETTINGS,  # type: ignore[arg-type]
)

for _name in (
    "volume",
    "mirror",
    "snapshot",
    "vss",
    "catalog",
    "ese",
    "recovery",
    "policy",
    "provider",
):
    app.command(f"exshadow.cli.{_name}:app", name=_name, help=options.GROUPS[_name])
app.command(restore)
app.command("exshadow.cli.drill:drill", name="drill", help=options.LEAVES["drill"])
app.command(
    "exshadow.cli.serve:serve",
    name="serve",
    help="Serve volumes over NBD and answer the control API, in the foreground.\n\n"
    "Example: exshadow serve --tcp 127.0.0.1:10809",
)
app.command(
    "exshadow.cli.demo:demo",
    name="demo",
    help="Show the main job on a made-up server.\n\nExample: exshadow demo",
)
app.command(
    "exshadow.cli.report:report",
    name="report",
    help="Write a status page for people.\n\n"
    "Example: exshadow report --html status.html --policy policy.toml",
)
for _name in ("attach", "detach"):
    app.command(f"exshadow.cli.attach:{_name}", name=_name, help=options.LEAVES[_name])
app.command(doctor)
app.command(bench)
app.command(help_topics)


@app.command
def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(help="Which shell.")], /
) -> int:
    """Print the completion script of a shell.

    Example: exshadow completion bash > ~/.local/share/bash-completion/completions/exshadow
    """
    from exshadow.cli.output import show

    script = app.generate_completion(prog_name="exshadow", shell=shell)
    return show({"completion": {"shell": shell, "script": script}}, script)


app.meta.suppress_keyboard_interrupt = False  # it would end silently, with --json as well


@app.meta.default
def globals_(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    state: Annotated[
        str | None,
        Parameter(group=_GLOBAL, help="State folder; else $EXSHADOW_STATE, else the default."),
    ] = None,
    json: Annotated[
        bool, Parameter(group=_GLOBAL, help="Exactly one JSON document on stdout.")
    ] = False,
    quiet: Annotated[
        bool, Parameter(group=_GLOBAL, help="No progress; notes only about your data.")
    ] = False,
    verbose: Annotated[
        bool, Parameter(group=_GLOBAL, help="Details of unexpected errors.")
    ] = False,
    version: Annotated[bool, Parameter(group=_GLOBAL, help="Print the version.")] = False,
    install_completion: Annotated[
        bool, Parameter(group=_GLOBAL, help="Install completion for the shell in use.")
    ] = False,
) -> Any:
    """Take the global options, then run the command."""
    from exshadow.errors import InvalidError

    if state == "":
        raise InvalidError("--state names no folder")
    context.state, context.json = state, json
    context.quiet, context.verbose = quiet, verbose
    if version:
        from exshadow.cli.output import show_version

        return show_version()
    if install_completion:
        from exshadow.cli.output import show

        path = app.install_completion(add_to_startup=True)
        return show({"completion": {"file": str(path)}}, f"completion installed in {path}")
    return app(tokens)
