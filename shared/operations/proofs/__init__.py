"""What is compared after a restore, and what it proves."""
