"""The leaderboard: which entries there are, how they are shown, and how entries of others come in."""
