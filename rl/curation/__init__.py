"""Choosing from the store what a model should learn from (ConCuR, https://arxiv.org/abs/2510.07356)."""
