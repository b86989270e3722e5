"""Numbers formatted for readers."""

from __future__ import annotations

import math


def percent(p: float) -> str:
    """A probability in per cent; 100 % only if it is exactly one."""
    if 0.9995 <= p < 1:
        return ">99.9 %"
    return f"{100 * p:.1f} %"


def with_su(value: float, su: float) -> str:
    """A value with its standard uncertainty in units of its last digit, of which it has 2 to 19.

    So the International Union of Crystallography has it (Schwarzenbach et al., Acta Cryst. A51, 1995, 565).

    >>> with_su(4.04632, 0.0031), with_su(4.04632, 0.0017), with_su(90.01, 0.2), with_su(1234.5, 31.0)
    ('4.046(3)', '4.0463(17)', '90.0(2)', '1230(30)')
    """
    if not su > 0 or not math.isfinite(su):
        return f"{value:.6g}"
    digits = -math.floor(math.log10(su / 1.95))
    units = round(su * 10**digits)
    if digits > 0:
        return f"{value:.{digits}f}({units})"
    step = 10**-digits
    return f"{step * round(value / step)}({step * units})"
