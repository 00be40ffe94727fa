"""The web page and its HTTP API (not in this release)."""
