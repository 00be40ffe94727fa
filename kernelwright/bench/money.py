"""A budget over many searches at once: what each may spend, so that all together can't pass it."""

from __future__ import annotations

from collections.abc import Hashable
from decimal import ROUND_DOWN, Decimal

__all__ = ["Allowances"]

_STEP = Decimal("0.000001")
_NOTHING = Decimal(0)


class Allowances:
    """Hands out money ahead: an allowance is set aside until its search has ended, and what was left of it comes back.

    What is there is shared out equally among the places that are free, so that what one search did not need goes to those
    after it. A search that stopped for want of money says what a call can cost: its remainder was too little. From then on no
    share is given that is not larger, so fewer searches go on at a time, and in the end none.

    Args:
        budget: US dollars for all of them; None: nothing stops.
        spent: by calls before.
    """

    def __init__(self, budget: Decimal | None, spent: Decimal = _NOTHING) -> None:
        self.budget = budget
        self.spent = spent
        self._aside: dict[Hashable, Decimal] = {}
        self._too_little = _NOTHING

    @property
    def left(self) -> Decimal | None:
        """What is neither spent nor set aside; None without a budget."""
        if self.budget is None:
            return None
        return max(_NOTHING, self.budget - self.spent - sum(self._aside.values(), _NOTHING))

    def shares(self, places: int) -> int:
        """How many searches can be begun, of at most `places`, each with a share that is of use."""
        left = self.left
        if left is None:
            return places
        return next((count for count in range(places, 0, -1) if _share(left, count) > self._too_little), 0)

    def set_aside(self, who: Hashable, places: int) -> Decimal | None:
        """The allowance of one of `places` searches; None without a budget."""
        left = self.left
        if left is None:
            return None
        self._aside[who] = _share(left, places)
        return self._aside[who]

    def settle(self, who: Hashable, cost: Decimal, *, wanted_more: bool = False) -> None:
        """A search has ended.

        Args:
            cost: what its calls did cost since the allowance was given.
            wanted_more: it stopped because the rest of its allowance was too little.
        """
        self.spent += cost
        given = self._aside.pop(who, None)
        if wanted_more and given is not None:
            self._too_little = max(self._too_little, given - cost)


def _share(left: Decimal, count: int) -> Decimal:
    return (left / count).quantize(_STEP, rounding=ROUND_DOWN)
