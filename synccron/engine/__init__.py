"""A node at work: loops that read, let the model decide, and write."""
