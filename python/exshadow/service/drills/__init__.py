"""drill: a set restored where it harms nobody, proved and timed, and every trace removed."""
