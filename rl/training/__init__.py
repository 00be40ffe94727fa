"""Training language models on judged kernels: the environment, the pool of evaluators, and the stages on TRL."""
