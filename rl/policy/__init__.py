"""Training the policy over the built-in coder's choices: landscapes of modelled times, policy gradient, simulated searches."""
