"""Schedules, retention, checks, and what is put in order when something was left."""
