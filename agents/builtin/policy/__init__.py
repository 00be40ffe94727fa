"""A trained policy over the built-in coder's choices: which knobs a kernel of some size and kind should have on some GPU."""
