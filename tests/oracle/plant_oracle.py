#!/usr/bin/env python3
"""The reference pipeline as a batch program: sums with exact integers, no windowing engine, no code of takt.

    plant_oracle.py MASTER_DIR EVENTS OUT_DIR [--format json|flatbuffers] [--epoch-rows N]

Reads every event, judges it by the rules of the plant-to-ledger pipeline, sums panes in one dictionary, and writes postings.csv
(the net of all revisions of a pane), dead_letters.csv and outcomes.csv. `--epoch-rows` is how often the watermark moves (1000).
"""
import argparse
import collections
import csv
import datetime
import pathlib
import sys

from decimals import divide_half_even, plain
from event_input import flatbuffers_records, json_lines
from master_data import MasterData

SECOND = 1_000_000_000
MINUTE, HOUR = 60 * SECOND, 3600 * SECOND
EARLIEST = 946_684_800 * SECOND  # 2000-01-01T00:00:00Z
FUTURE, OUT_OF_ORDER, HORIZON, LATENESS = 10 * MINUTE, 5 * MINUTE, 48 * HOUR, 8 * HOUR
NEVER = -(1 << 70)

TELEMETRY = {"reading", "machine_state", "cycle"}
BUSINESS_STATE = {"order_released", "order_closed", "shipment_ready", "revision_released"}
QUALITY_DETAIL = {"quality_result", "nonconformance"}
STATUSES = {"released", "blocked", "rejected"}
TIME_UNITS = {"h": (1, 1), "min": (1, 60), "s": (1, 3600)}
ENERGY_UNITS = {"kWh": (1, 1), "Wh": (1, 1000), "MJ": (5, 18)}
POSTING_TYPES = {"produced": "goods_receipt", "consumed": "goods_issue", "returned": "goods_issue", "scrapped": "scrap",
                 "machine_time": "machine_cost", "labor_time": "labor_cost", "energy": "energy_cost", "lot_status": "lot_status"}
KEY_FIELDS = {"goods_receipt": ("plant", "order_id", "material", "lot"), "goods_issue": ("plant", "order_id", "material", "lot"),
              "scrap": ("plant", "order_id", "material", "reason"), "machine_cost": ("plant", "order_id", "work_center"),
              "labor_cost": ("plant", "order_id", "work_center"), "energy_cost": ("plant", "work_center"),
              "lot_status": ("plant", "material", "lot", "status", "event_id")}
MATERIAL_TYPES = {"goods_receipt", "goods_issue", "scrap"}
PANE_COLUMNS = ("plant", "order_id", "material", "lot", "work_center", "reason", "status", "event_id")


class DeadLetter(Exception):
    """A step refused the event; the argument is the reason."""


def filter_rule(kind, order_id, quantity):
    if kind in TELEMETRY:
        return "telemetry"
    if kind in BUSINESS_STATE:
        return "business_state"
    if kind in QUALITY_DETAIL:
        return "quality_detail"
    if order_id and order_id.startswith("TEST-"):
        return "test_order"
    if not quantity and kind != "lot_status":
        return "zero_quantity"
    return None


class Oracle:
    def __init__(self, master):
        self._master = master
        self._remembered = {}                    # event_id -> (event_time, content)
        self._panes = {}                         # (type, fields, window) -> [quantity, amount, header]
        self._lot_statuses = []
        self.outcomes = collections.Counter()
        self.dead_letters = []
        self._watermark = NEVER                  # At the start of the epoch.
        self._highest = NEVER

    def end_epoch(self):
        if self._highest != NEVER:
            self._watermark = self._highest - OUT_OF_ORDER

    def push(self, line, event):
        try:
            self.outcomes[self._outcome(event)] += 1
        except DeadLetter as refused:
            reason = refused.args[0]
            self.outcomes["dead_letter", reason] += 1
            self.dead_letters.append((event[0] if event else "", line, reason))

    def _outcome(self, event):
        if event is None:
            raise DeadLetter("DECODE")
        (event_id, kind, event_time, recorded_time, plant, _, work_center, order_id, _, material, _, lot, quantity, unit, _,
         status, reason, _, corrects) = event
        if recorded_time is not None and event_time > recorded_time + FUTURE:
            raise DeadLetter("FUTURE_TIME")
        if event_time < EARLIEST:
            raise DeadLetter("CLOCK_INVALID")
        if event_time > self._highest:
            self._highest = event_time
        rule = filter_rule(kind, order_id, quantity)
        if rule:
            return "filtered", rule

        forgotten_before = self._watermark - HORIZON
        if event_time < forgotten_before:
            raise DeadLetter("BEYOND_DEDUP_HORIZON")
        content = kind, event_time, order_id, quantity, unit
        known = self._remembered.get(event_id)
        if known and known[1] >= forgotten_before:
            if known == content:
                return "duplicate", ""
            raise DeadLetter("ID_CONFLICT")

        posting_type = POSTING_TYPES[kind]
        values = {"plant": plant, "order_id": order_id, "material": material, "lot": lot, "work_center": work_center,
                  "reason": reason, "status": status, "event_id": event_id}
        fields = tuple(values[name] if name in KEY_FIELDS[posting_type] else "" for name in PANE_COLUMNS)
        if None in fields:
            raise DeadLetter("MISSING_FIELD")
        if posting_type == "lot_status":
            if status not in STATUSES:
                raise DeadLetter("MISSING_FIELD")
        elif unit is None:
            raise DeadLetter("MISSING_FIELD")
        if quantity is not None and quantity < 0 and corrects is None:
            raise DeadLetter("NEGATIVE_QUANTITY")

        site = self._master.plants.get(plant)
        if site is None:
            raise DeadLetter("MISSING_MASTER_DATA")
        zone = site[0]
        instant = event_time // SECOND
        if posting_type == "lot_status":
            if self._master.materials.at(material, event_time) is None:
                raise DeadLetter("MISSING_MASTER_DATA")
            self._lot_statuses.append((fields, zone.local_date(instant), quantity, unit))
        else:
            factor, price, base_unit, accounts = self._valued(posting_type, kind, event_time, plant, material, work_center, unit)
            window = self._window(posting_type, plant, zone, instant)
            if self._watermark > window[1] * SECOND + LATENESS:
                raise DeadLetter("TOO_LATE")
            base = divide_half_even(quantity * factor[0], factor[1])
            if kind == "returned":
                base = -base
            pane = self._panes.get((posting_type, fields, window))
            if pane is None:
                pane = self._panes[posting_type, fields, window] = [0, 0, (zone.local_date(window[0]), base_unit, site[1], accounts)]
            pane[0] += base
            pane[1] += base * price
        self._remembered[event_id] = content
        return "accepted", ""

    def _valued(self, posting_type, kind, event_time, plant, material, work_center, unit):
        """(factor, price, base unit, accounts) as of the event time."""
        if posting_type in MATERIAL_TYPES:
            item = self._master.materials.at(material, event_time)
            if item is None:
                raise DeadLetter("MISSING_MASTER_DATA")
            category, base_unit, price = item
            factor = self._master.factor(material, unit, base_unit)
        else:
            center = self._master.work_centers.at(work_center, event_time)
            if center is None or center[0] != plant:
                raise DeadLetter("MISSING_MASTER_DATA")
            category = "*"
            if posting_type == "energy_cost":
                factor, price, base_unit = ENERGY_UNITS.get(unit), self._master.tariffs.at(plant, event_time), "kWh"
            else:
                factor, price, base_unit = TIME_UNITS.get(unit), center[1 if kind == "machine_time" else 2], "h"
        accounts = self._master.account(posting_type, category)
        if factor is None or price is None or accounts is None:
            raise DeadLetter("MISSING_MASTER_DATA")
        return factor, price, base_unit, accounts

    def _window(self, posting_type, plant, zone, instant):
        """[start, end) in seconds."""
        if posting_type == "goods_issue":
            start = instant - instant % 3600
            return start, start + 3600
        if posting_type == "energy_cost":
            return zone.day_window(instant)
        return self._master.shifts[plant].window(instant)

    def postings(self):
        """Rows of postings.csv."""
        for (posting_type, fields, window), (quantity, amount, header) in self._panes.items():
            day, unit, currency, accounts = header
            cents = divide_half_even(amount, 10**10)
            if quantity or cents:
                yield (posting_type, *fields, instant_text(window[0]), instant_text(window[1]), date_text(day),
                       plain(quantity, 6), unit, plain(cents, 2), currency, *accounts)
        for fields, day, quantity, unit in self._lot_statuses:
            yield ("lot_status", *fields, "", "", date_text(day), "" if quantity is None else plain(quantity, 6), unit or "",
                   "", "", "", "")


def instant_text(seconds):
    return (datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def date_text(day):
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat()


def write(folder, name, header, rows):
    with open(pathlib.Path(folder) / name, "w", encoding="utf-8", newline="") as file:
        output = csv.writer(file)  # CRLF, so that a lone CR is quoted, too
        output.writerow(header)
        output.writerows(rows)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("master")
    parser.add_argument("events")
    parser.add_argument("out")
    parser.add_argument("--format", choices=("json", "flatbuffers"), default="json")
    parser.add_argument("--epoch-rows", type=int, default=1000)
    options = parser.parse_args(arguments)

    oracle = Oracle(MasterData(options.master))
    source = json_lines if options.format == "json" else flatbuffers_records
    for count, (line, event) in enumerate(source(options.events), 1):
        oracle.push(line, event)
        if count % options.epoch_rows == 0:
            oracle.end_epoch()

    out = pathlib.Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    write(out, "postings.csv", ("type", *PANE_COLUMNS, "window_start", "window_end", "posting_date", "quantity", "unit", "amount",
                                "currency", "debit", "credit"), sorted(oracle.postings()))
    write(out, "dead_letters.csv", ("event_id", "line", "reason"), oracle.dead_letters)
    write(out, "outcomes.csv", ("outcome", "rule", "count"),
          sorted((outcome, rule, count) for (outcome, rule), count in oracle.outcomes.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
