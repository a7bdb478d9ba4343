"""Is a page range that was taken over unread what reading it would have given? Random statements decide."""
