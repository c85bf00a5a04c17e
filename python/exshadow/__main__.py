"""``python -m exshadow`` is the command ``exshadow``."""

from exshadow.cli.main import run

if __name__ == "__main__":
    run()
