"""Text with units to SI numbers, and back for people; nothing else in simnet converts.

Text is case-sensitive: ``b`` or ``bit`` is a bit, ``B`` a byte; ``k``/``K``, ``M``, ``G``,
``T`` are powers of 1000 and ``Ki``, ``Mi``, ``Gi``, ``Ti`` powers of 1024. What could mean
two things is an error that says what to write. Numbers pass through as SI: bytes, bytes/s,
seconds, probabilities. Decimals are read exactly and rounded once.

Zero is accepted by every parser, since it means something for sizes and times; whoever needs
a positive number says so with its place (``Network`` does for bandwidths).
"""

from __future__ import annotations

import math
import numbers
import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

__all__ = [
    "format_bandwidth",
    "format_size",
    "format_time",
    "parse_bandwidth",
    "parse_probability",
    "parse_size",
    "parse_time",
]

_MAX_TEXT = 100  # characters; longer text is no quantity
_MAX_EXPONENT = 400  # beyond what a float holds: refused before the exact fraction is built
_MAX_SIZE = 2**63 - 1  # sizes live in int64 arrays
_DIGITS = 4  # significant digits shown to people

_QUANTITY = re.compile(
    r"\s*(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*(?P<unit>.*?)\s*",
    re.DOTALL,
)
_DECIMAL = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_PREFIXES = {**_DECIMAL, **_BINARY}
_TC_WORDS = {  # what tc(8) calls a rate: bits per second
    word: prefix
    for prefix, words in {
        "k": ("kbit", "Kbit"),
        "M": ("mbit", "Mbit"),
        "G": ("gbit", "Gbit"),
        "T": ("tbit", "Tbit"),
    }.items()
    for word in words
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unit:
    """What one unit word means: its factor to SI and how we write it."""

    factor: Fraction
    written: str


def _size_units() -> dict[str, _Unit]:
    units = {}
    for prefix, factor in _PREFIXES.items():
        units[prefix + "B"] = _Unit(factor=Fraction(factor), written=prefix + "B")
        for bit in ("bit", "b"):
            units[prefix + bit] = _Unit(factor=Fraction(factor, 8), written=prefix + "bit")
    return units


def _bandwidth_units() -> dict[str, _Unit]:
    units = {}
    for prefix, factor in _PREFIXES.items():
        for word in ("B/s", "Bps"):
            units[prefix + word] = _Unit(factor=Fraction(factor), written=prefix + "B/s")
        for word in ("bit/s", "b/s", "bps"):
            units[prefix + word] = _Unit(factor=Fraction(factor, 8), written=prefix + "bit/s")
    for word, prefix in _TC_WORDS.items():
        units[word] = units[prefix + "bit/s"]
    return units


def _time_units() -> dict[str, _Unit]:
    seconds = {
        "ns": Fraction(1, 10**9),
        "us": Fraction(1, 10**6),
        "µs": Fraction(1, 10**6),
        "\u03bcs": Fraction(1, 10**6),  # the Greek letter, which keyboards also give
        "ms": Fraction(1, 10**3),
        "s": Fraction(1),
        "min": Fraction(60),
        "h": Fraction(3600),
        "d": Fraction(86400),
    }
    return {word: _Unit(factor=factor, written=word) for word, factor in seconds.items()}


_UNITS = {"size": _size_units(), "bandwidth": _bandwidth_units(), "time": _time_units()}
_EXAMPLES = {
    "size": "'100MB', '7.5MB', '64KiB' or a number of bytes",
    "bandwidth": "'25Gbit/s', '100Mbit/s', '5MB/s' or a number of bytes/s",
    "time": "'50ms', '10us', '2min' or a number of seconds",
    "probability": "'1%' or a number in [0, 1)",
}


def parse_size(value: object) -> int:
    """Read a size.

    Parameters
    ----------
    value : str, int or float
        Text such as "100MB", "7.5MB", "1KiB" or "8Mbit", or a whole number of bytes
        (1e6 and numpy numbers too).

    Returns
    -------
    int
        Bytes, at least 0.

    Raises
    ------
    TypeError
        If it is neither text nor a number (a bool is no number).
    ValueError
        If it is negative, not finite, not a whole number of bytes, too large for int64,
        ambiguous ("10M", "10mb") or another quantity ("10MB/s").
    """
    exact = _exact(value, "size")
    if exact > _MAX_SIZE:
        raise ValueError(f"size {_shown(value)} is too large: at most 2**63 - 1 bytes")
    if exact.denominator != 1:
        raise ValueError(f"size {_shown(value)} is {float(exact):g} bytes: not a whole number")
    return int(exact)


def parse_bandwidth(value: object) -> float:
    """Read a bandwidth.

    Parameters
    ----------
    value : str, int or float
        Text such as "25Gbit/s", "10Gbps", "100mbit" (tc's word), "5MB/s" or "1GiB/s", or a
        number of bytes/s.

    Returns
    -------
    float
        Bytes/s, at least 0.

    Raises
    ------
    TypeError
        If it is neither text nor a number (a bool is no number).
    ValueError
        If it is negative, not finite, ambiguous ("mbps", "10M") or another quantity
        ("100MB", "50ms").
    """
    return _rounded(_exact(value, "bandwidth"), value, "bandwidth")


def parse_time(value: object) -> float:
    """Read a time.

    Parameters
    ----------
    value : str, int or float
        Text in ns, us, µs, ms, s, min, h or d, such as "50ms", or a number of seconds.

    Returns
    -------
    float
        Seconds, at least 0.

    Raises
    ------
    TypeError
        If it is neither text nor a number (a bool is no number).
    ValueError
        If it is negative, not finite, ambiguous ("5m") or another quantity ("10MB").
    """
    return _rounded(_exact(value, "time"), value, "time")


def parse_probability(value: object) -> float:
    """Read a probability of loss.

    Parameters
    ----------
    value : str, int or float
        Text such as "1%" or "0.01", or a number.

    Returns
    -------
    float
        A number in [0, 1).

    Raises
    ------
    TypeError
        If it is neither text nor a number (a bool is no number).
    ValueError
        If it is outside [0, 1) or has a unit other than %.
    """
    exact = _exact(value, "probability")
    result = float(min(exact, Fraction(1)))  # a float cannot hold every fraction
    if not result < 1.0:  # also what rounds to 1
        raise ValueError(f"probability {_shown(value)} is outside [0, 1)")
    return result


def format_size(size: float) -> str:
    """Write a size in bytes for people: 7472936 is "7.473 MB" (four digits, powers of 1000)."""
    return _scaled(size, "B")


def format_bandwidth(bandwidth: float, *, bits: bool = True) -> str:
    """Write a bandwidth in bytes/s for people: 1.25e9 is "10 Gbit/s", or with bits=False
    "1.25 GB/s" (four digits, powers of 1000)."""
    return _scaled(bandwidth * 8, "bit/s") if bits else _scaled(bandwidth, "B/s")


def format_time(seconds: float) -> str:
    """Write a time in seconds for people: 0.00123456 is "1.235 ms" (four digits, one unit)."""
    if not math.isfinite(seconds):
        return f"{seconds} s"
    rounded = _significant(seconds)
    magnitude = abs(rounded)
    if magnitude == 0.0:
        return "0 s"
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if magnitude >= 2 * length:
            return f"{_plain(seconds / length)} {unit}"
    for unit, per_second in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if _significant(magnitude * per_second) >= 1.0:
            return f"{_plain(seconds * per_second)} {unit}"
    return f"{_plain(seconds * 1e9)} ns"


def _exact(value: object, quantity: str) -> Fraction:
    """The value as an exact, finite, nonnegative number of SI units."""
    if isinstance(value, str):
        exact = _exact_text(value, quantity)
    elif isinstance(value, numbers.Real) and not isinstance(value, bool):
        exact = _exact_number(value, quantity)
    else:
        raise TypeError(
            f"{quantity} {_shown(value)} is a {type(value).__name__}: give {_EXAMPLES[quantity]}"
        )
    if exact < 0:
        raise ValueError(f"{quantity} {_shown(value)} is negative")
    return exact


def _exact_number(value: numbers.Real, quantity: str) -> Fraction:
    if isinstance(value, numbers.Rational):
        return Fraction(int(value.numerator), int(value.denominator))
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{quantity} {_shown(value)} is not a finite number")
    return Fraction(number)


def _exact_text(text: str, quantity: str) -> Fraction:
    match = _QUANTITY.fullmatch(text) if len(text) <= _MAX_TEXT else None
    if match is None:
        raise ValueError(
            f"{quantity} {_shown(text)} is no number with a unit: write {_EXAMPLES[quantity]}"
        )
    number, unit = match["number"], match["unit"]
    decimal = Decimal(number)
    if decimal and abs(decimal.adjusted()) > _MAX_EXPONENT:
        raise ValueError(f"{quantity} {_shown(text)} is out of range")
    return Fraction(decimal) * _factor(text, number, unit, quantity)


def _factor(text: str, number: str, unit: str, quantity: str) -> Fraction:
    if quantity == "probability":
        factors = {"": Fraction(1), "%": Fraction(1, 100)}
        if unit not in factors:
            raise ValueError(f"probability {_shown(text)} has a unit: write '1%' or '0.01'")
        return factors[unit]
    known = _UNITS[quantity].get(unit)
    if known is None:
        raise ValueError(f"{quantity} {_shown(text)} {_complaint(number, unit, quantity)}")
    return known.factor


def _complaint(number: str, unit: str, quantity: str) -> str:
    """Why the unit is refused, and what to write instead."""
    if not unit:
        choices = {"size": ["B"], "bandwidth": ["bit/s", "B/s"], "time": ["s", "ms"]}[quantity]
        return f"has no unit: write {_choices(number, choices)}"
    if quantity == "time" and unit == "m":
        return f"could be minutes or milliseconds: write {_choices(number, ['min', 'ms'])}"
    if quantity != "time" and unit.title() in {p.title() for p in _PREFIXES}:
        matching = [p for p in _PREFIXES if p.lower() == unit.lower()]
        prefix = unit if unit in matching else matching[-1]
        per = "/s" if quantity == "bandwidth" else ""
        choices = [f"{prefix}bit{per}", f"{prefix}B{per}"]
        return f"says neither bit nor byte: write {_choices(number, choices)}"
    for other, units in _UNITS.items():
        if other != quantity and unit in units:
            same = _converted([units[unit].written], other, quantity)
            instead = _choices(number, same) if same else _EXAMPLES[quantity]
            return f"is a {other}, not a {quantity}: write {instead}"
    choices = _other_cases(unit, quantity)
    if len(choices) > 1:
        return f"could mean more than one thing: write {_choices(number, choices)}"
    if choices:
        return f"has an unknown unit (case matters): write {_choices(number, choices)}"
    return f"has an unknown unit {unit!r}: write {_EXAMPLES[quantity]}"


def _other_cases(unit: str, quantity: str) -> list[str]:
    """Known units that differ only in case, as we write them, sizes read as bandwidths too."""
    found: dict[str, None] = {}
    for other, units in _UNITS.items():
        alike = [u.written for word, u in units.items() if word.lower() == unit.lower()]
        found.update(dict.fromkeys(_converted(alike, other, quantity)))
    written = set(found)
    return [w for w in found if not (w.startswith("k") and "K" + w[1:] in written)]


def _converted(written: list[str], source: str, quantity: str) -> list[str]:
    """Unit words of one quantity as words of another: MB and MB/s; none to or from a time."""
    if source == quantity:
        return written
    if (source, quantity) == ("size", "bandwidth"):
        return [word + "/s" for word in written]
    if (source, quantity) == ("bandwidth", "size"):
        return [word.removesuffix("/s") for word in written]
    return []


def _choices(number: str, units: list[str]) -> str:
    return " or ".join(f"'{number}{unit}'" for unit in units)


def _rounded(exact: Fraction, value: object, quantity: str) -> float:
    try:
        return float(exact)
    except OverflowError:
        raise ValueError(f"{quantity} {_shown(value)} is out of range") from None


def _shown(value: object) -> str:
    """The value on one line, shortened; numpy numbers as plain ones."""
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        text = str(int(value))
    elif isinstance(value, numbers.Real) and not isinstance(value, (bool, numbers.Rational)):
        text = repr(float(value))
    else:
        text = " ".join(repr(value).split())
    return text if len(text) <= 60 else text[:57] + "..."


def _significant(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _plain(value: float) -> str:
    """Four significant digits without an exponent where that stays short."""
    rounded = _significant(value)
    return f"{rounded:.0f}" if 1000 <= abs(rounded) < 1e15 else f"{rounded:g}"


def _scaled(value: float, unit: str) -> str:
    if not math.isfinite(value):
        return f"{value} {unit}"
    rounded = _significant(value)
    for prefix, factor in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(rounded) >= factor:
            return f"{_plain(rounded / factor)} {prefix}{unit}"
    return f"{_plain(rounded)} {unit}"
