"""Processes of ours: signals, workers, ordered threads, locked folders."""
