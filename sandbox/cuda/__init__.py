"""Real GPUs: what the driver shows, the worker that runs a module on one, and the judge's end of it.

The worker (`worker`, `runtime`, `faults`) imports the standard library, torch and what of this package does so too; a
kernel in it may import cupy. So it runs on a machine with none of the control side's libraries.
"""
