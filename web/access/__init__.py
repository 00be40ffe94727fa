"""Who may ask this server for what: hosts it answers to, origins it takes changes from, tokens, sessions, roles."""
