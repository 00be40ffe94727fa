"""New fused tasks by random graph expansion (after HPCTransCompile, https://arxiv.org/abs/2506.10401)."""
