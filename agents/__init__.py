"""Coder and Judge: who writes kernels and who says what to change. The built-in pair needs no network."""
