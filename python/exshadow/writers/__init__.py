"""Writers for real applications: each makes one consistent for the split and lets it go.

Every one names its time limits, thaws after any failure and says why it failed. They are made from
text arguments (``--writer sqlite?path=/srv/app.db``), so that a guard in another process can make
them anew and rescue what a killed process left frozen.
"""
