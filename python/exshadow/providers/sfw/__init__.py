"""Veritas Storage Foundation for Windows: vxassist, vxsnap, vxdg, driven and read back.

Start reading at provider.py; look.py is what all verbs see, product.py the programs, records.py
what is kept beside them. Command texts are data (../data/sfw-*.toml), of Windows' grammar only.
"""

from exshadow.providers.sfw.provider import SfwProvider, build
from exshadow.providers.sfw.splitting import asks_writer

__all__ = ["SfwProvider", "asks_writer", "build"]
