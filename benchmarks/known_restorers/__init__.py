"""Restorers whose truth is known, for tasks whose posterior is known: what an audit's verdicts are held against."""
