"""Numbers as the page writes them."""

from __future__ import annotations

import math

from stochrobust.auditing.findings import AuditNumber

NO_BREAK = "\u00a0"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, unit: str = "") -> str:
    """A number without its unit: decibels to one decimal, anything else to three digits.

    Example:
        >>> number(6.218, "dB"), number(0.1337), number(-1.0), number(12345.6), number(float("inf"), "dB")
        ('6.2', '0.134', '−1.00', '12\\u202f346', '∞')
        >>> number(2.5e-7), number(0.0), number(float("nan"))
        ('2.50\\xa0×\\xa010⁻⁷', '0', '–')
    """
    if math.isnan(value):
        return "–"
    sign = "−" if value < 0 else ""
    size = abs(value)
    if math.isinf(size):
        return f"{sign}∞"
    if unit == "dB":
        text = f"{size:.1f}"
        return text if text == "0.0" else sign + text
    if size == 0:
        return "0"
    if size >= 1e7 or size < 1e-4:
        digits, _, exponent = f"{size:.2e}".partition("e")
        return f"{sign}{digits}{NO_BREAK}×{NO_BREAK}10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
    text = f"{size:,.0f}".replace(",", "\u202f") if size >= 999.5 else f"{size:#.3g}".rstrip(".")
    return sign + text


def quantity(value: float, unit: str = "") -> str:
    """A number with its unit, which no line break parts.

    Example:
        >>> quantity(6.218, "dB"), quantity(0.1337)
        ('6.2\\xa0dB', '0.134')
    """
    return number(value, unit) + (NO_BREAK + unit if unit and not math.isnan(value) else "")


def interval(value: AuditNumber, unit: str = "") -> str:
    """The ends of an interval, empty where the number has none or it is too narrow to be seen in the digits shown.

    Example:
        >>> interval(AuditNumber(0.77, 0.75, 0.79, 500)), interval(AuditNumber(0.77, 0.77, 0.77, 500))
        ('0.750 to 0.790', '')
    """
    low, high = number(value.low, unit), number(value.high, unit)
    return f"{low} to {high}" if has_interval(value) and low != high else ""


def has_interval(value: AuditNumber) -> bool:
    """Whether a number has an interval with two finite ends that differ."""
    return math.isfinite(value.low) and math.isfinite(value.high) and value.low < value.high


def percent(value: float) -> str:
    """A share in per cent.

    Example:
        >>> percent(0.5), percent(0.004), percent(0.0)
        ('50\\xa0%', '0.4\\xa0%', '0\\xa0%')
        >>> percent(1e-5)
        'under 0.1\\xa0%'
    """
    if 0 < value < 0.001:
        return f"under 0.1{NO_BREAK}%"
    return f"{100 * value:.{0 if value >= 0.0995 or value == 0 else 1}f}{NO_BREAK}%"


def counted(count: int, noun: str) -> str:
    """A count with its noun.

    Example:
        >>> counted(1, "input"), counted(12, "input")
        ('1\\xa0input', '12\\xa0inputs')
    """
    return f"{count}{NO_BREAK}{noun}{'' if count == 1 else 's'}"
