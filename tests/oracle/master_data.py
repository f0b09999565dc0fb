"""The master data of a plant: CSV files, looked up as of an instant in nanoseconds."""
import bisect
import csv
import pathlib

from decimals import parse_millionths
from event_input import parse_time
from local_time import Shifts, Zone


def rows(folder, name):
    with open(pathlib.Path(folder) / f"{name}.csv", encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file)


class Versions:
    """What holds for a key from an instant on, until its next version."""

    def __init__(self):
        self._by_key = {}

    def add(self, key, valid_from, value):
        self._by_key.setdefault(key, []).append((valid_from, value))

    def close(self):
        for key, versions in self._by_key.items():
            versions.sort(key=lambda version: version[0])
            self._by_key[key] = ([instant for instant, _ in versions], [value for _, value in versions])
        return self

    def at(self, key, instant):
        """The value as of `instant`, or None."""
        found = self._by_key.get(key)
        if not found:
            return None
        place = bisect.bisect_right(found[0], instant)
        return found[1][place - 1] if place else None


def minutes(text):
    hours, rest = text.split(":")
    return int(hours) * 60 + int(rest)


class MasterData:
    """Tables as dictionaries; prices in millionths."""

    def __init__(self, folder):
        self.plants = {row["plant"]: (Zone(row["time_zone"]), row["currency"]) for row in rows(folder, "plants")}
        self.units = {(row["material"], row["unit"]): (int(row["numerator"]), int(row["denominator"]))
                      for row in rows(folder, "units")}
        self.accounts = {(row["type"], row["category"]): (row["debit"], row["credit"]) for row in rows(folder, "accounts")}
        self.materials, self.work_centers, self.tariffs = Versions(), Versions(), Versions()
        for row in rows(folder, "materials"):
            self.materials.add(row["material"], parse_time(row["valid_from"]),
                               (row["category"], row["base_unit"], parse_millionths(row["standard_cost"])))
        for row in rows(folder, "work_centers"):
            self.work_centers.add(row["work_center"], parse_time(row["valid_from"]),
                                  (row["plant"], parse_millionths(row["machine_rate"]), parse_millionths(row["labor_rate"])))
        for row in rows(folder, "tariffs"):
            self.tariffs.add(row["plant"], parse_time(row["valid_from"]), parse_millionths(row["price_per_kwh"]))
        for table in (self.materials, self.work_centers, self.tariffs):
            table.close()
        by_plant = {}
        for row in rows(folder, "shifts"):
            by_plant.setdefault(row["plant"], []).append((minutes(row["start"]), minutes(row["end"])))
        self.shifts = {plant: Shifts(self.plants[plant][0], shifts) for plant, shifts in by_plant.items()
                       if plant in self.plants}

    def factor(self, material, unit, base_unit):
        """(numerator, denominator) from the unit to the base unit, or None."""
        if unit == base_unit:
            return 1, 1
        return self.units.get((material, unit)) or self.units.get(("*", unit))

    def account(self, kind, category):
        return self.accounts.get((kind, category)) or self.accounts.get((kind, "*"))
