"""Searches that somebody else is to make: a durable queue, the workers that take from it, and the process of one search."""
