"""In over the event bus; out to the bus and to people."""
