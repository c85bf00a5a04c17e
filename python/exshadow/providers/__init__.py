"""Providers: who makes the copies. One vocabulary, one record of what each can, one pure choice."""
