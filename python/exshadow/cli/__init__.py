"""The command line: one verb group a file. Only this room prints."""
