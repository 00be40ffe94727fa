"""Scoring: from what came of each task to the figures of a leaderboard. Pure functions of their inputs, no torch, no store."""
