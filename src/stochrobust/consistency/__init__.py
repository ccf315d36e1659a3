"""Projectors that make a restoration consistent with its input, and scores of how consistent it is."""
