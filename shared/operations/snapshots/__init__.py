"""Copied, sealed, and judged."""
