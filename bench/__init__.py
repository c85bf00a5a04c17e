"""Benchmarks beside the peers; `make bench`. Rules of fairness: see measure.py and peers.py."""
