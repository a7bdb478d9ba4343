"""The job protocol: asked for, claimed, leased, handed on, followed."""
