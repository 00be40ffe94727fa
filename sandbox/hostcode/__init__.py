"""Host C++ on the emulator: `load_inline`, `load` and bare `.cu` programs on a machine with no GPU.

A CUDA source holds two programs. Its device text goes to NVRTC and the emulator; its host text is compiled by the
machine's C++ compiler, with every kernel's body replaced by a stub that hands its arguments to the emulator.
"""
