"""The networks of the studies, one file each."""
