"""Prompts: the templates (`*.j2`) that `kernelwright.agents.llm.templates` fills in."""
