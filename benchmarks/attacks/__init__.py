"""The suite of networks on which attacks are compared."""
