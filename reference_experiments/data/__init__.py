"""Image sets on the user's disk, one file per kind; none of them is part of this package."""
