"""Prints a Board: contests with ratios and CPU per GiB, targets beside actual figures."""

from __future__ import annotations

import platform

from rich.console import Console
from rich.table import Table

from bench.measure import Board

_VERDICT = {True: "met", False: "[bold]MISSED[/bold]", None: "-"}


def print_board(board: Board, versions: list[str]) -> None:
    """To the terminal, at least 120 columns so that nothing is cut in logs."""
    console = Console()
    if console.width < 120:
        console = Console(width=120)
    console.print(
        f"Linux {platform.release()}, Python {platform.python_version()}", highlight=False
    )
    console.print("; ".join(versions), highlight=False)
    for title in dict.fromkeys(line.title for line in board.lines):
        console.print(_contest(board, title))
    if board.targets:
        console.print(_targets(board))
    for note in board.notes:
        console.print(f"note: {note}", highlight=False, markup=False)


def _contest(board: Board, title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("who", no_wrap=True)
    columns = ("median s", "IQR s", "MiB/s", "CPU s/GiB", "exshadow is")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for line in board.lines:
        if line.title == title:
            ratio = "" if line.ratio is None else f"{line.ratio:.2f} x"
            figures = (line.median, line.iqr, line.rate, line.cpu_per_gib)
            texts = [
                f"{figure:.{digits}f}" for figure, digits in zip(figures, (3, 3, 0, 2), strict=True)
            ]
            table.add_row(line.name, *texts, ratio)
    return table


def _targets(board: Board) -> Table:
    table = Table(title="targets", title_justify="left")
    table.add_column("what")
    for column in ("target", "actual", ""):
        table.add_column(column, justify="right", no_wrap=True)
    for target in board.targets:
        table.add_row(target.title, target.wanted, target.actual, _VERDICT[target.met])
    return table
