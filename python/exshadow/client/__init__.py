"""The other end of the control socket: a running daemon's verbs as calls of this process."""
