"""The status page: one self-contained HTML file for people."""
