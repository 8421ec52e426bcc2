"""Benchmarks: what a model scores on them, with intervals; generations are stored calls."""
