"""Money in whole minor units, always a pair: the shop's currency and the buyer's (presentment). Never a float."""

from __future__ import annotations

from decimal import Decimal

#: (shop, presentment), each in its own currency's minor units.
Pair = tuple[int, int]
ZERO: Pair = (0, 0)

#: Digits after the point, where they are not two (ISO 4217).
EXPONENTS = {"JPY": 0, "KRW": 0, "CLP": 0, "VND": 0, "KWD": 3, "BHD": 3, "TND": 3, "OMR": 3, "JOD": 3}
#: Invented rates: millionths of a unit per US dollar.
RATES = {
    "USD": 1_000_000, "EUR": 921_300, "GBP": 787_900, "CAD": 1_361_200, "AUD": 1_524_700, "JPY": 151_370_000,
    "KRW": 1_347_000_000, "KWD": 307_400, "BHD": 376_100, "TND": 3_118_000, "SEK": 10_470_000, "CHF": 881_600,
    "CLP": 942_500_000, "INR": 83_310_000, "MXN": 16_760_000, "NZD": 1_661_000, "BRL": 5_013_000,
}  # fmt: skip


def exponent(currency: str) -> int:
    """How many digits a currency has after the point."""
    return EXPONENTS.get(currency, 2)


def from_cents(cents: int, currency: str) -> int:
    """A price in US cents as minor units of `currency`, rounded half up."""
    return divide(cents * RATES[currency] * 10 ** exponent(currency), 100_000_000)


def divide(numerator: int, denominator: int) -> int:
    """A whole quotient, rounded half away from zero."""
    quotient = (2 * abs(numerator) + denominator) // (2 * denominator)
    return quotient if numerator >= 0 else -quotient


def add(a: Pair, b: Pair) -> Pair:
    """The sum in each currency."""
    return (a[0] + b[0], a[1] + b[1])


def sub(a: Pair, b: Pair) -> Pair:
    """The difference in each currency."""
    return (a[0] - b[0], a[1] - b[1])


def times(a: Pair, n: int) -> Pair:
    """`n` times the amount."""
    return (a[0] * n, a[1] * n)


def neg(a: Pair) -> Pair:
    """The amount with the other sign."""
    return (-a[0], -a[1])


def part(a: Pair, of: int, whole: int) -> Pair:
    """`of` of `whole` equal parts, rounded down: the last part taken of what is left is then exact."""
    return (a[0] * of // whole, a[1] * of // whole)


def percent(a: Pair, basis_points: int, *, over: int = 10_000) -> Pair:
    """`basis_points` / `over` of the amount, rounded half up."""
    return (divide(a[0] * basis_points, over), divide(a[1] * basis_points, over))


def spread(total: int, weights: list[int]) -> list[int]:
    """`total` over `weights` in proportion; what does not divide goes unit by unit to the first ones."""
    whole = sum(weights)
    if not whole:
        return [0] * len(weights)
    parts = [total * w // whole for w in weights]
    rest = total - sum(parts)
    for at, weight in enumerate(weights):
        if rest and weight:
            parts[at] += 1
            rest -= 1
    return parts


def decimal(minor: int, currency: str) -> Decimal:
    """Minor units as an exact decimal number."""
    return Decimal(minor).scaleb(-exponent(currency))


def text(minor: int, digits: int) -> str:
    """As the Admin API writes a Decimal: no trailing zeros beyond the first digit after the point (`12.5`, `7.0`)."""
    if digits == 0:
        return f"{minor}.0"
    sign, minor = ("-", -minor) if minor < 0 else ("", minor)
    if digits == 2:  # nearly all currencies: a bulk file has millions of these
        whole, rest = divmod(minor, 100)
        return f"{sign}{whole}.{rest // 10}" if rest % 10 == 0 else f"{sign}{whole}.{rest:02d}"
    unit: int = 10**digits
    whole, rest = divmod(minor, unit)
    return f"{sign}{whole}.{f'{rest:0{digits}d}'.rstrip('0') or '0'}"


def fixed(minor: int, digits: int) -> str:
    """With all the currency's digits, as webhooks and the scalar Money write it (`12.50`)."""
    if digits == 0:
        return str(minor)
    sign, minor = ("-", -minor) if minor < 0 else ("", minor)
    whole, rest = divmod(minor, 10**digits)
    return f"{sign}{whole}.{rest:0{digits}d}"
