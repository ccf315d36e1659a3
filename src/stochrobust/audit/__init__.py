"""The audit: one pass over an estimator and its data, every number with an interval, and what they say in words."""
