"""NVIDIA's profiler, sanitizer and disassembler as tools: command lines, parsers of what they print, pictures of it."""
