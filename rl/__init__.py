"""The search: runs made of attempts, and the strategies that spend evaluations."""
