"""Writers for real applications: each makes one consistent for the split and lets it go.

Every one names its time limits, thaws after any failure and says why it failed. They are made from
text arguments (``--writer sqlite?path=/srv/app.db``), so that a guard in another process can make
them anew and rescue what a killed process left frozen.
"""

from typing import Final

BUILT_IN: Final = {
    "filesystem": "exshadow.writers.filesystem:FilesystemWriter",
    "guest-agent": "exshadow.writers.guest_agent:GuestAgentWriter",
    "mariadb": "exshadow.writers.mariadb:MariaDbWriter",
    "mysql": "exshadow.writers.mariadb:MariaDbWriter",
    "postgresql": "exshadow.writers.postgresql:PostgresqlWriter",
    "script": "exshadow.writers.script:ScriptWriter",
    "sqlite": "exshadow.writers.sqlite:SqliteWriter",
    "ese-folder": "exshadow.writers.exchange:EseFolderWriter",
}
"""Names that ``--writer`` takes, and where the class is."""
