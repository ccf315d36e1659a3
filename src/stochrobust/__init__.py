"""Metrics and a regularizer for robust stochastic image restoration."""

__version__ = "0.1.0"
__all__: list[str] = ["__version__"]
