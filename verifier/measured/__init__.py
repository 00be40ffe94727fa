"""Measured timing: calls on a real GPU, verified after the fact, candidate and baselines interleaved.

Nothing here makes a time from a model. Everything takes its participants, its random numbers and its clock as arguments.
"""
