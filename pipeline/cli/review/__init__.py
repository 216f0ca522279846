"""`phrasebox review`: the command, and the server of its page."""
