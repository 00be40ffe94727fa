"""The store: every task, kernel, evaluation, run and attempt, failures included."""
