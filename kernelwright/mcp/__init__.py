"""Tools for a coding agent over the Model Context Protocol: it writes kernels, this judges, measures and keeps them."""
