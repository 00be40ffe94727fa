"""Tasks: what is to be made faster, and the readers for the formats in which the field writes them down."""
