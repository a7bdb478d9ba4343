"""Every job that puts something back, and takes it back again."""
