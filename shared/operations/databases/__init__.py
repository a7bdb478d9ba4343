"""What a database is and needs, and what is built beside it."""
