"""Exact numbers as integers: millionths for quantities and prices."""
import re

INT64_MIN, INT64_MAX = -(1 << 63), (1 << 63) - 1
NUMBER = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?)([0-9]+))?", re.ASCII)
EXACT_DIGITS = 4000  # Far beyond int64, and below the length at which Python refuses to read an integer.


def parse_millionths(text):
    """The value of a JSON number in millionths, or None where it is no number, has more decimals or does not fit int64."""
    match = NUMBER.fullmatch(text)
    if not match:
        return None
    sign, whole, fraction, exponent_sign, exponent_digits = match.groups()
    fraction = fraction or ""
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return 0
    significant = digits.rstrip("0")
    exponent_digits = (exponent_digits or "0").lstrip("0") or "0"
    exponent = int(exponent_digits[:EXACT_DIGITS])
    shift = (-exponent if exponent_sign == "-" else exponent) - len(fraction) + 6 + len(digits) - len(significant)
    if shift < 0 or len(significant) + shift > 20:
        return None
    value = int(significant) * 10**shift
    value = -value if sign else value
    return value if INT64_MIN <= value <= INT64_MAX else None


def divide_half_even(numerator, denominator):
    """numerator / denominator (positive), rounded half-even."""
    quotient, rest = divmod(numerator, denominator)
    if 2 * rest > denominator or (2 * rest == denominator and quotient & 1):
        quotient += 1
    return quotient


def plain(value, decimals):
    """An integer in units of 10^-decimals in plain notation."""
    sign = "-" if value < 0 else ""
    whole, fraction = divmod(abs(value), 10**decimals)
    return f"{sign}{whole}.{fraction:0{decimals}d}"
