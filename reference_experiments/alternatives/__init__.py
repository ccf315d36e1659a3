"""Eq. 7 beside other regularizers, on the digits, at equal cost."""
