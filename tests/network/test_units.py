"""Text with units to SI numbers: what is read, what is refused, and how numbers are written."""

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simnet.units import (
    format_bandwidth,
    format_size,
    format_time,
    parse_bandwidth,
    parse_probability,
    parse_size,
    parse_time,
)

PARSERS = (parse_size, parse_bandwidth, parse_time, parse_probability)
DECIMAL = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
PREFIXES = {**DECIMAL, **BINARY}


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("100MB", 100_000_000),
        ("7.5MB", 7_500_000),
        ("1KiB", 1024),
        ("1kB", 1000),
        ("1KB", 1000),
        ("0B", 0),
        ("8b", 1),
        ("8Mbit", 1_000_000),
        ("1Gib", 2**30 // 8),
        ("1e3MB", 10**9),
        ("1.5e-3kB", None),  # a byte and a half
        (" 10 MB ", 10_000_000),
        ("10\u00a0MB", 10_000_000),  # a non-breaking space
        ("+5B", 5),
        (".5kB", 500),
        ("5.kB", 5000),
        (1024, 1024),
        (1e6, 1_000_000),
        (np.int32(7), 7),
        (np.float64(8.0), 8),
        (Fraction(16, 2), 8),
        (2**63 - 1, 2**63 - 1),
        (0, 0),
        (np.str_("3kB"), 3000),
    ],
)
def test_sizes(text, size):
    if size is None:
        with pytest.raises(ValueError, match=r"is 1\.5 bytes: not a whole number"):
            parse_size(text)
    else:
        assert parse_size(text) == size
        assert type(parse_size(text)) is int


@pytest.mark.parametrize(
    ("text", "bandwidth"),
    [
        ("25Gbit/s", 3.125e9),
        ("10Gbps", 1.25e9),
        ("10 Gbit/s", 1.25e9),
        ("10Gb/s", 1.25e9),
        ("100mbit", 12.5e6),
        ("100Mbit", 12.5e6),
        ("8kbit", 1000.0),
        ("1gbit", 125e6),
        ("5MB/s", 5e6),
        ("5MBps", 5e6),
        ("1MiB/s", 1048576.0),
        ("8Mibit/s", 1048576.0),
        ("8bit/s", 1.0),
        ("8bps", 1.0),
        ("3B/s", 3.0),
        (1.25e9, 1.25e9),
        (10, 10.0),
        (np.float32(0.5), 0.5),
        ("0bit/s", 0.0),
    ],
)
def test_bandwidths(text, bandwidth):
    assert parse_bandwidth(text) == bandwidth
    assert type(parse_bandwidth(text)) is float


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("50ms", 0.05),
        ("10us", 1e-5),
        ("10µs", 1e-5),
        ("10\u03bcs", 1e-5),  # the Greek letter
        ("3ns", 3e-9),
        ("2min", 120.0),
        ("1.5h", 5400.0),
        ("1d", 86400.0),
        ("2s", 2.0),
        (0.25, 0.25),
        (np.int64(3), 3.0),
        ("-0ms", 0.0),
    ],
)
def test_times(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize(
    ("text", "probability"),
    [("1%", 0.01), ("0.5 %", 0.005), ("0.01", 0.01), (0.01, 0.01), (0, 0.0), ("0%", 0.0)],
)
def test_probabilities(text, probability):
    assert parse_probability(text) == probability


@given(number=st.decimals(0, 10**6, allow_nan=False, places=3), prefix=st.sampled_from([*PREFIXES]))
def test_a_bandwidth_is_the_exact_product_rounded_once(number, prefix):
    product = Fraction(number) * PREFIXES[prefix]
    for word in ("B/s", "Bps"):
        assert parse_bandwidth(f"{number}{prefix}{word}") == float(product)
    for word in ("bit/s", "b/s", "bps"):
        assert parse_bandwidth(f"{number}{prefix}{word}") == float(product / 8)


@given(number=st.integers(0, 2**20), prefix=st.sampled_from([*PREFIXES]))
def test_a_size_is_exact(number, prefix):
    assert parse_size(f"{number}{prefix}B") == number * PREFIXES[prefix]
    assert parse_size(f"{8 * number}{prefix}bit") == number * PREFIXES[prefix]


@given(st.floats(min_value=0, allow_nan=False, allow_infinity=False))
def test_numbers_pass_unchanged(number):
    assert parse_time(number) == number
    assert parse_bandwidth(number) == number


@pytest.mark.parametrize(
    ("parse", "text", "advice"),
    [
        # no unit, or half of one
        (parse_size, "10M", "neither bit nor byte: write '10Mbit' or '10MB'"),
        (parse_size, "10K", "neither bit nor byte: write '10Kbit' or '10KB'"),
        (parse_size, "10Gi", "neither bit nor byte: write '10Gibit' or '10GiB'"),
        (parse_bandwidth, "10M", "neither bit nor byte: write '10Mbit/s' or '10MB/s'"),
        (parse_bandwidth, "10g", "neither bit nor byte: write '10Gbit/s' or '10GB/s'"),
        (parse_size, "10", "has no unit: write '10B'"),
        (parse_bandwidth, "10", "has no unit: write '10bit/s' or '10B/s'"),
        (parse_time, "10", "has no unit: write '10s' or '10ms'"),
        # two meanings
        (parse_time, "5m", "minutes or milliseconds: write '5min' or '5ms'"),
        (parse_bandwidth, "10mbps", "more than one thing: write '10MB/s' or '10Mbit/s'"),
        (parse_bandwidth, "10gbps", "more than one thing: write '10GB/s' or '10Gbit/s'"),
        (parse_size, "10mb", "more than one thing: write '10MB' or '10Mbit'"),
        # the wrong case
        (parse_bandwidth, "10 mbit/s", "(case matters): write '10Mbit/s'"),
        (parse_time, "5MS", "(case matters): write '5ms'"),
        (parse_time, "5S", "(case matters): write '5s'"),
        # another quantity
        (parse_size, "10MB/s", "is a bandwidth, not a size: write '10MB'"),
        (parse_size, "10mbit", "is a bandwidth, not a size: write '10Mbit'"),
        (parse_size, "5ms", "is a time, not a size: write '100MB'"),
        (parse_bandwidth, "100MB", "is a size, not a bandwidth: write '100MB/s'"),
        (parse_bandwidth, "10ms", "is a time, not a bandwidth: write '25Gbit/s'"),
        (parse_time, "10Gbit/s", "is a bandwidth, not a time: write '50ms'"),
        (parse_time, "1%", "unknown unit '%'"),
        (parse_probability, "10ms", "has a unit: write '1%' or '0.01'"),
        # not a number at all
        (parse_bandwidth, "mbps", "is no number with a unit: write '25Gbit/s'"),
        (parse_size, "１０MB", "is no number with a unit"),  # full-width digits
        (parse_size, "", "is no number with a unit"),
        (parse_size, " ", "is no number with a unit"),
        (parse_time, "nan", "is no number with a unit"),
        (parse_time, "infs", "is no number with a unit"),
        (parse_size, "1" * 101 + "B", "is no number with a unit"),
        (parse_size, "1,000MB", "unknown unit ',000MB'"),
        (parse_size, "1_000MB", "unknown unit '_000MB'"),
        (parse_size, "0x10", "unknown unit 'x10'"),
        (parse_time, "5 seconds", "unknown unit 'seconds'"),
        (parse_bandwidth, "1Pbit/s", "unknown unit 'Pbit/s'"),
        # out of range
        (parse_time, "-5ms", "is negative"),
        (parse_size, -1, "is negative"),
        (parse_bandwidth, math.nan, "nan is not a finite number"),
        (parse_time, math.inf, "inf is not a finite number"),
        (parse_time, np.float64("nan"), "nan is not a finite number"),
        (parse_size, 1.5, "is 1.5 bytes: not a whole number"),
        (parse_size, "10bit", "is 1.25 bytes: not a whole number"),
        (parse_size, 2**63, "too large: at most 2**63 - 1 bytes"),
        (parse_size, Fraction(10**400, 3), "too large"),
        (parse_time, 10**400, "out of range"),
        (parse_time, "1e399s", "out of range"),
        (parse_time, "1e999999999s", "out of range"),
        (parse_probability, 1.0, "is outside [0, 1)"),
        (parse_probability, "100%", "is outside [0, 1)"),
        (parse_probability, "0.99999999999999999999", "is outside [0, 1)"),
        (parse_probability, 10**400, "is outside [0, 1)"),
        (parse_probability, "1e399", "is outside [0, 1)"),
        (parse_probability, -0.1, "is negative"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_write(parse, text, advice):
    with pytest.raises(ValueError, match=r"^(size|bandwidth|time|probability) ") as caught:
        parse(text)
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize(
    "value",
    [True, np.True_, None, [1], b"10MB", Decimal("1.5"), 2 + 0j, np.array(3.0), object()],
    ids=lambda value: type(value).__name__,
)
def test_what_is_neither_text_nor_number(parse, value):
    with pytest.raises(TypeError, match=r"^\w+ .* is a \w+: give ") as caught:
        parse(value)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=20), st.sampled_from(PARSERS))
def test_any_text_is_read_or_refused_in_one_line(text, parse):
    try:
        number, said = parse(text), "read"
    except ValueError as error:
        number, said = 0, str(error)
    assert number >= 0
    assert len(said.splitlines()) == 1


@given(
    number=st.sampled_from(["1", "2.5", "1e3"]),
    unit=st.text(alphabet="kKmMgGtTiIbBpPsS/", max_size=6),
)
def test_advice_for_bandwidths_is_itself_understood(number, unit):
    try:
        parse_bandwidth(number + unit)
    except ValueError as error:
        advised = str(error).split(": write ")[1].split(" or a number")[0].replace(",", " or")
        for text in advised.split(" or "):
            assert parse_bandwidth(text.strip("' ")) > 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (format_size(0), "0 B"),
        (format_size(999), "999 B"),
        (format_size(1000), "1 kB"),
        (format_size(7472936), "7.473 MB"),
        (format_size(999_999), "1 MB"),  # rounds up into the next prefix
        (format_size(5e15), "5000 TB"),
        (format_bandwidth(1.25e9), "10 Gbit/s"),
        (format_bandwidth(1.25e9, bits=False), "1.25 GB/s"),
        (format_bandwidth(0.5), "4 bit/s"),
        (format_bandwidth(math.inf), "inf bit/s"),
        (format_time(0.0), "0 s"),
        (format_time(0.00123456), "1.235 ms"),
        (format_time(1e-5), "10 µs"),
        (format_time(2.5e-8), "25 ns"),
        (format_time(0.99999), "1 s"),
        (format_time(90.0), "90 s"),
        (format_time(120.0), "2 min"),
        (format_time(7200.0), "2 h"),
        (format_time(2 * 86400.0), "2 d"),
        (format_time(-0.05), "-50 ms"),
        (format_time(math.nan), "nan s"),
    ],
)
def test_numbers_for_people(text, expected):
    assert text == expected


@given(st.floats(1e-9, 1e9))
def test_a_written_time_is_close_to_the_time(seconds):
    assert parse_time(format_time(seconds)) == pytest.approx(seconds, rel=6e-4)


@given(st.floats(1.0, 1e15))
def test_a_written_bandwidth_is_close_to_the_bandwidth(bandwidth):
    assert parse_bandwidth(format_bandwidth(bandwidth)) == pytest.approx(bandwidth, rel=6e-4)
