"""Pictures and data sets of the book."""
