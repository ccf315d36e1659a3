"""Diffusion restorers beside GANs, posterior means and posterior samplers: appendices B.2 and F."""
