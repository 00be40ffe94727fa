"""The judge: static analysis, correctness, integrity, timing and profile of a Kernel on a Task, as one Evaluation."""
