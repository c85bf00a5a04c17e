"""An imitated HP EVA and its manager: what the program ``sssu`` beside this package talks to."""
