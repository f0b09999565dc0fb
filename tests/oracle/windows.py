#!/usr/bin/env python3
"""Lists the shifts and local days of every plant, for a program that knows no time zones.

    windows.py MASTER_DIR FIRST_DATE LAST_DATE     prints plant,kind,start,end,posting_date: kind is `shift` or `day`, bounds in
                                                   seconds since 1970, the end exclusive
"""
import csv
import datetime
import sys

from local_time import EPOCH
from master_data import MasterData


def main(arguments):
    master = MasterData(arguments[0])
    first, last = ((datetime.date.fromisoformat(text) - EPOCH).days for text in arguments[1:3])
    output = csv.writer(sys.stdout, lineterminator="\n")
    output.writerow(("plant", "kind", "start", "end", "posting_date"))
    for plant, (zone, _) in master.plants.items():
        windows = {("day", zone.instant(day, 0), zone.instant(day + 1, 0)) for day in range(first, last + 1)}
        if plant in master.shifts:
            windows |= {("shift", *window) for day in range(first, last + 1) for window in master.shifts[plant].starting_on(day)}
        for kind, start, end in sorted(windows):
            if start < end:
                date = EPOCH + datetime.timedelta(days=zone.local_date(start))
                output.writerow((plant, kind, start, end, date.isoformat()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
