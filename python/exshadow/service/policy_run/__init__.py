"""policy run: unfinished business, a mirror made ready, the split, the proof, retention."""
