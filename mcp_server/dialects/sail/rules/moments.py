"""Texts of dates and times as Spark's casts and typed literals read them, in UTC.

`SparkDateTimeUtils.stringToDate`, `parseTimestampString` and `convertSpecialDate` of Spark 4.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAY_MICROS: Final = 86_400_000_000
_BLANKS: Final = "".join(map(chr, range(33))) + "\x7f"
_DATE: Final = re.compile(r"([+-]?)(\d{4,7})(?:-(\d{1,2})(?:-(\d{1,2})(?:[ T].*)?)?)?", re.DOTALL | re.ASCII)
_TIMESTAMP: Final = re.compile(
    r"(?:([+-]?)(\d{4,6})(?:-(\d{1,2})(?:-(\d{1,2}))?)?)?"
    r"(?:(?:(?<=\d)[ T]|^T?)(\d{1,2})(?::(\d{1,2})(?::(\d{1,2})(?:\.(\d*))?)?)?[ ]*(?P<zone>[A-Za-z+-].*)?)?",
    re.DOTALL | re.ASCII,
)
_OFFSET: Final = re.compile(r"(?:UTC|GMT|UT)?([+-])(\d{1,2})(?::?(\d{2})(?::?(\d{2}))?)?", re.ASCII)
_MOST_OFFSET: Final = 18 * 3600
_SPECIAL: Final = {"epoch": None, "today": 0, "now": 0, "tomorrow": 1, "yesterday": -1}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Moment:
    """A time in microseconds since 1970, and whether its text names a zone."""

    micros: int
    zoned: bool


class NoZoneError(Exception):
    """A time zone that is not known here."""


def read_date(text: str) -> int | None:
    """The days since 1970 of a text, None where Spark reads no date."""
    match = _DATE.fullmatch(text.strip(_BLANKS))
    if match is None:
        return None
    year = int(match[2]) * (-1 if match[1] == "-" else 1)
    return days_of(year, int(match[3] or 1), int(match[4] or 1))


def read_special_date(text: str, now: datetime) -> int | None:
    """The days since 1970 of `epoch`, `now`, `today`, `tomorrow` and `yesterday`."""
    word = text.strip(_BLANKS).lower()
    if word not in _SPECIAL:
        return None
    shift = _SPECIAL[word]
    return 0 if shift is None else (now - _EPOCH).days + shift


def days_of(year: int, month: int, day: int) -> int | None:
    """The days since 1970 of a date of the Gregorian calendar, which goes on before its year 1."""
    if not 1 <= month <= 12 or not 1 <= day <= _length(year, month):
        return None
    shifted = year - (month <= 2)
    era, year_of_era = divmod(shifted, 400)
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468


def date_of(days: int) -> tuple[int, int, int]:
    """Year, month and day of a day since 1970."""
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month + 2) // 5 + 1
    month += 3 if month < 10 else -9
    return year_of_era + era * 400 + (month <= 2), month, day


def _length(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in {4, 6, 9, 11} else 31


def read_timestamp(text: str, now: datetime) -> Moment | None:
    """The moment of a text, None where Spark reads none. A text without a date is of today. Errors: NoZoneError."""
    stripped = text.strip(_BLANKS)
    match = _TIMESTAMP.fullmatch(stripped)
    if match is None or (match[2] is None and match[6] is None):
        return None
    if match[5] is not None and match[2] is not None and match[4] is None:
        return None
    days = (
        (now - _EPOCH).days
        if match[2] is None
        else days_of(int(match[2]) * (-1 if match[1] == "-" else 1), int(match[3] or 1), int(match[4] or 1))
    )
    hour, minute, second = (int(match[index] or 0) for index in (5, 6, 7))
    if days is None or hour > 23 or minute > 59 or second > 59:
        return None
    micros = ((hour * 60 + minute) * 60 + second) * 1_000_000 + int((match[8] or "")[:6].ljust(6, "0"))
    zone = match["zone"]
    local = days * DAY_MICROS + micros
    return Moment(local - (0 if zone is None else _offset(zone.strip(), local)) * 1_000_000, zone is not None)


def _offset(zone: str, local: int) -> int:
    """The seconds that a zone is ahead of UTC at a local time."""
    if zone in {"Z", "UTC", "GMT", "UT"}:
        return 0
    match = _OFFSET.fullmatch(zone)
    if match is not None:
        seconds = int(match[2]) * 3600 + int(match[3] or 0) * 60 + int(match[4] or 0)
        if seconds > _MOST_OFFSET:
            raise NoZoneError(zone)
        return -seconds if match[1] == "-" else seconds
    try:
        info = ZoneInfo(_SHORT.get(zone, zone))
        moment = datetime(1970, 1, 1) + timedelta(microseconds=local)  # noqa: DTZ001  (local time, which has its zone below)
    except (ZoneInfoNotFoundError, ValueError, OverflowError, OSError):
        raise NoZoneError(zone) from None
    shift = moment.replace(tzinfo=info).utcoffset()
    if shift is None:
        raise NoZoneError(zone)
    return round(shift.total_seconds())


_SHORT: Final = {
    "ACT": "Australia/Darwin", "AET": "Australia/Sydney", "ART": "Africa/Cairo",
    "AGT": "America/Argentina/Buenos_Aires",
    "AST": "America/Anchorage", "BET": "America/Sao_Paulo", "BST": "Asia/Dhaka", "CAT": "Africa/Harare",
    "CNT": "America/St_Johns", "CST": "America/Chicago", "CTT": "Asia/Shanghai", "EAT": "Africa/Addis_Ababa",
    "ECT": "Europe/Paris", "IET": "America/Indiana/Indianapolis", "IST": "Asia/Kolkata", "JST": "Asia/Tokyo",
    "MIT": "Pacific/Apia", "NET": "Asia/Yerevan", "NST": "Pacific/Auckland", "PLT": "Asia/Karachi",
    "PNT": "America/Phoenix", "PRT": "America/Puerto_Rico", "PST": "America/Los_Angeles", "SST": "Pacific/Guadalcanal",
    "VST": "Asia/Ho_Chi_Minh", "EST": "America/Panama", "MST": "America/Phoenix", "HST": "Pacific/Honolulu",
}  # fmt: skip
"""`ZoneId.SHORT_IDS`, which Spark adds to Java's zones."""
