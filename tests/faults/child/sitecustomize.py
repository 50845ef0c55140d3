"""Python runs this as a child process starts: a wall clock that steps, a store with little room.

``OURVIDZ_TEST_CLOCK`` names a file with the seconds by which this process's wall clock is wrong;
it is read at every look at the clock, so that writing it steps the clock of a running process.
``OURVIDZ_TEST_MAX_PAGES`` is how many pages an SQLite file may grow to.
"""

import datetime
import os
import sqlite3
import time

real_time, real_datetime, real_connect = time.time, datetime.datetime, sqlite3.connect


def stepped_time():
    with open(os.environ["OURVIDZ_TEST_CLOCK"], encoding="ascii") as file:
        return real_time() + float(file.read() or 0)


class _AnyDatetime(type):
    def __instancecheck__(cls, value):
        return isinstance(value, real_datetime)


class SteppedDatetime(real_datetime, metaclass=_AnyDatetime):
    """Only ``now`` differs; what it returns is a plain datetime."""

    @classmethod
    def now(cls, tz=None):
        return real_datetime.fromtimestamp(stepped_time(), tz)


def narrow_connect(*arguments, **options):
    connection = real_connect(*arguments, **options)
    connection.execute(f"PRAGMA max_page_count = {int(os.environ['OURVIDZ_TEST_MAX_PAGES'])}")
    return connection


if os.environ.get("OURVIDZ_TEST_CLOCK"):
    time.time = stepped_time
    datetime.datetime = SteppedDatetime
if os.environ.get("OURVIDZ_TEST_MAX_PAGES"):
    sqlite3.connect = narrow_connect
