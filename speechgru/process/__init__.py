"""Processes of ours: signals, workers that are told apart from what they compute, locked folders."""
