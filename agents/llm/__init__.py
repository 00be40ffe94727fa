"""Coder, judge and verifiers that are language models: what they are told, and how their replies are read."""
