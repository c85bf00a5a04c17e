"""Recovery: what has to be done to bring data back, in which order, and the doing of it.

Plans are plain values made from facts, without I/O; they refuse what the rules forbid and name the
rule. Runbooks for Exchange are data (runbooks/*.toml) that the planner fills.
"""
