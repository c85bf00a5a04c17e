"""What proves that a copy is worth something: each check looks at the copies of one set, never
writes to them, and says what it saw. Start reading at ground.py, then bench.py."""
