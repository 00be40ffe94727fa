"""The leaderboard as a static site: files that open from a disk, with no server, no script and no other host."""
