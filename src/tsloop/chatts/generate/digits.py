"""Numbers without leading zeros that are written digit by digit and lie in a range."""

from __future__ import annotations

__all__ = ["reaches", "shortest_number"]


def reaches(digits: bytes, lowest: int, highest: int) -> bool:
    """Whether a number in ``lowest..highest`` begins with these digits; without digits: any."""
    if not digits:
        return lowest <= highest
    low = high = int(digits)
    if not low:
        return lowest == 0
    while low <= highest:
        if high >= lowest:
            return True
        low, high = low * 10, high * 10 + 9
    return False


def shortest_number(digits: bytes, lowest: int, highest: int) -> int:
    """The smallest of the shortest numbers in ``lowest..highest`` that begin with these digits.

    There must be one, see `reaches`.
    """
    if not digits:
        return lowest
    low = high = int(digits)
    while high < lowest and low <= highest:
        low, high = low * 10, high * 10 + 9
    return max(low, lowest)
