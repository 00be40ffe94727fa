"""Contrastive reinforcement learning as CUDA-L1 describes it: scored variants in the prompt, a reward that can't be talked into."""
