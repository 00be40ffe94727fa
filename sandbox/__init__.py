"""Where untrusted code is built and run: kernels, devices, the emulator, worker processes and their isolation."""
