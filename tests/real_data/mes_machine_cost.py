"""Machine cost per order and shift of a MES log: no windowing engine, exact integers summed in one dictionary."""
import csv
import datetime
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "oracle"))
from decimals import divide_half_even, parse_millionths, plain  # noqa: E402
from local_time import ORIGIN, Shifts, Zone  # noqa: E402
from master_data import minutes  # noqa: E402
from plant_oracle import date_text, instant_text  # noqa: E402


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def machine_cost(log, shifts, zone_name, rates):
    """(order, window start, window end, posting date, hours, amount) as texts, sorted. `rates`: activity -> price of an hour as text; `*`:
    any other."""
    zone = Zone(zone_name)
    calendar = Shifts(zone, [(minutes(row["start"]), minutes(row["end"])) for row in rows(shifts)])
    price = {activity: parse_millionths(text) for activity, text in rates.items()}

    def instant(text):
        local = datetime.datetime.strptime(text, "%Y/%m/%d %H:%M:%S") - ORIGIN
        return zone.instant(local.days, local.seconds // 60) + local.seconds % 60

    panes = {}
    for row in rows(log):
        started, ended = instant(row["start_timestamp"]), instant(row["timestamp"])
        if ended <= started:
            continue
        hours = divide_half_even((ended - started) * 1_000_000, 3600)
        pane = panes.setdefault((row["case_id"], calendar.window(ended)), [0, 0])
        pane[0] += hours
        pane[1] += hours * price.get(row["activity"], price["*"])
    return sorted((order, instant_text(start), instant_text(end), date_text(zone.local_date(start)), plain(hours, 6),
                   plain(divide_half_even(amount, 10**10), 2))
                  for (order, (start, end)), (hours, amount) in panes.items())
