"""Policy: which sets are made when, how long they are kept, and what is told of it. Pure rules."""
