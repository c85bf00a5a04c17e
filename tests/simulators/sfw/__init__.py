"""Storage Foundation for Windows as far as its command line goes: vxassist, vxsnap, vxdg, vxvol.

Grammar, rules and states are those of public documents and working batch files; what those do not
tell is imagined here and marked *imagined* where it is written: all wording, all exit codes, the
layout of every listing, the content of the set's XML. It is strict: what no document permits is
refused.
"""
