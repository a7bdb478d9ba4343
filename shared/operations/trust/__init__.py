"""Who may do what, what vouches for what: access, audit, keys, the chain of manifests."""
