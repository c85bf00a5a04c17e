"""restore --roll-forward: the databases of a set, the logs of today; proved before and after."""
