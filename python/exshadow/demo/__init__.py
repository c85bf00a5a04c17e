"""The main job on a made-up server, with real tools as witnesses: ``exshadow demo``.

An ext4 image holds a SQLite database that an application keeps writing. It is adopted, mirrored and
split; production is damaged, shown to be damaged, restored, shown to be sound and mirrored again.
Nothing of that needs root; the second act does (mail_pair.py). Every claim is checked by somebody
else's program.
"""

from exshadow.demo.report import Check, Report, Step
from exshadow.demo.sizes import SIZES, Size
from exshadow.demo.story import Story, run

__all__ = ["SIZES", "Check", "Report", "Size", "Step", "Story", "run"]
