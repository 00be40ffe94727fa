"""What an emulated worker shows to a kernel's Python code: a `cupy` that launches on the emulator, a `torch.cuda` that
maps to the CPU, and an allocator that tells the emulator every tensor's exact bounds."""
