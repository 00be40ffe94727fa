"""Training language models from the door: tasks opened, the store, the evaluators' processes, and the stages as jobs."""
