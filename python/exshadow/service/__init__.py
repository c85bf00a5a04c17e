"""What exshadow does for people: the verbs of the command line over engine and catalog.

Functions take a :class:`~exshadow.service.desk.Desk` first and return records of
:mod:`exshadow.model`. Nothing here prints; a Reporter hears notes and progress.
"""
