"""Local wall-clock times as instants, and the windows of shifts and local days. Instants are whole seconds since 1970."""
import datetime
import functools
import zoneinfo

UTC = datetime.timezone.utc
EPOCH = datetime.date(1970, 1, 1)
ORIGIN = datetime.datetime(1970, 1, 1)
DAY = 86400


def holding(windows, instant):
    for start, end in windows:
        if start <= instant < end:
            return start, end
    raise ValueError(f"no window holds {instant}")


class Zone:
    """One IANA time zone."""

    def __init__(self, name):
        self._zone = zoneinfo.ZoneInfo(name)
        self.instant = functools.lru_cache(maxsize=None)(self._instant)
        self.days_around = functools.lru_cache(maxsize=None)(self._days_around)

    def offset(self, instant):
        """Seconds that local time is ahead of UTC."""
        moment = (ORIGIN + datetime.timedelta(seconds=instant)).replace(tzinfo=UTC)
        return int(moment.astimezone(self._zone).utcoffset().total_seconds())

    def local_date(self, instant):
        """The local date as days since 1970."""
        return (instant + self.offset(instant)) // DAY

    def _instant(self, day, minutes):
        """The instant of a wall-clock time: the first of two, or the transition that skips it."""
        local = day * DAY + minutes * 60
        naive = ORIGIN + datetime.timedelta(seconds=local)
        first, second = (int(naive.replace(tzinfo=self._zone, fold=fold).utcoffset().total_seconds()) for fold in (0, 1))
        if second <= first:
            return local - first
        # The time is skipped: the transition lies in (local - second, local - first].
        low, high = local - second, local - first
        while high - low > 1:
            middle = (low + high) // 2
            if self.offset(middle) == second:
                high = middle
            else:
                low = middle
        return high

    def _days_around(self, day):
        starts = [self.instant(d, 0) for d in range(day - 2, day + 4)]
        return list(zip(starts, starts[1:]))

    def day_window(self, instant):
        """[start, end) of the local day that holds the instant."""
        return holding(self.days_around(instant // DAY), instant)


class Shifts:
    """The shifts of one plant: (start, end) in minutes after local midnight."""

    def __init__(self, zone, shifts):
        self._zone = zone
        self._shifts = shifts
        self.shifts_around = functools.lru_cache(maxsize=None)(self._shifts_around)

    def starting_on(self, day):
        """The windows of the shifts that begin on a local day, by the clock."""
        return [(self._zone.instant(day, start), self._zone.instant(day + 1 if end <= start else day, end))
                for start, end in self._shifts]

    def _shifts_around(self, day):
        return [window for d in range(day - 2, day + 3) for window in self.starting_on(d)]

    def window(self, instant):
        """[start, end) of the shift that holds the instant."""
        return holding(self.shifts_around(instant // DAY), instant)
