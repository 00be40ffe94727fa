"""The web page and its HTTP API.

`site` writes a leaderboard as files; everything else is the server: `app` puts it together, `views` say what a page shows (the
same object is its JSON twin), `routes` say where it is, `templates` how it looks.
"""
