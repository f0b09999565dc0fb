"""Whether a ledger is right: by itself, and beside what tests/oracle/batch_oracle, which has none of takt's code, makes of the same events.

The oracle reads a file and holds it in memory, so it gets the events in slices: each after the end of the slice before it, in which everything is
that a retry may repeat. What it says of that end alone is taken off again. Its rules are those of configs/reference_rules.yaml, with other windows
than the soak has, so panes are compared after all windows of a key are added up: quantities exactly, amounts within half a cent for each pane. Dead
letters and the counts of outcomes are compared, too. An event that is too late is so for both; one without a window (`lot_status`) is only for the soak,
whose deduplication remembers less time: it must be among the soak's dead letters then.
"""
import collections
import contextlib
import csv
import itertools
import json
import sqlite3
import subprocess
import sys
import time

from flow import ROOT, Failed, records

SLICE_EVENTS = 2_000_000
# A retry repeats one of the last 512 business events, a small part of these.
REPEATED_EVENTS = 20_000
PANE_COLUMNS = ("plant", "order_id", "material", "lot", "work_center", "reason", "status", "event_id")
# Stands for the quantity that a posting does not have, so that it is missed like others.
THERE = 1
DAY_S = 86400
BEYOND = ("dead_letter", "BEYOND_DEDUP_HORIZON")
TOO_LATE = ("dead_letter", "TOO_LATE")
DUPLICATE, ACCEPTED = ("duplicate", ""), ("accepted", "")


class Net:
    """Of a key: quantity in millionths, amount in cents, and the panes that were rounded for it."""
    __slots__ = ("quantity", "amount", "panes")

    def __init__(self):
        self.quantity = self.amount = self.panes = 0


def units(text, decimals):
    whole, _, fraction = text.partition(".")
    if len(fraction) != decimals:
        raise Failed(f"{text} has not {decimals} decimals")
    return int(whole + fraction)


class Books:
    """The events, dead letters and postings of a ledger, and what is wrong with them."""

    def __init__(self, ledger):
        self.ledger, self.wrong, self.postings = ledger, [], 0
        self.nets = collections.defaultdict(Net)
        with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as database:
            self.outcomes = {(outcome, rule): count for outcome, rule, count in database.execute("SELECT outcome, rule, count FROM outcome") if count}
            self.doubled = database.execute("SELECT count(*) - count(DISTINCT key) FROM posting").fetchone()[0]
            self.letters = {(reason, event) for reason, event in database.execute("SELECT reason, event_id FROM dead_letter")}
            letters = dict(database.execute("SELECT reason, count(*) FROM dead_letter GROUP BY reason"))
            self.add_postings(database)
        counted = {rule: count for (outcome, rule), count in self.outcomes.items() if outcome == "dead_letter"}
        if letters != counted:
            self.wrong.append(f"dead letters {letters}, by the outcomes {counted}")

    @property
    def events(self):
        return sum(self.outcomes.values())

    def add_postings(self, database):
        """Revisions of each pane are 1, 2, 3, ..., each after the one before it, and add up to what the last one says."""
        rows = database.execute(
            "SELECT type, key_fields, window_start, revision, key, previous_key, quantity_units, amount_units, quantity_cumulative, amount_cumulative, unit, "
            "currency, debit, credit FROM posting ORDER BY type, key_fields, window_start, revision")
        for (kind, fields, _), revisions in itertools.groupby(rows, lambda row: row[:3]):
            named = json.loads(fields)
            quantity = amount = None
            before, expected = None, 0
            for row in revisions:
                expected += 1
                self.postings += 1
                quantity, amount = plus(quantity, row[6]), plus(amount, row[7])
                told = (row[8] and units(row[8], 6), row[9] and units(row[9], 2))
                if (row[3], row[5]) != (expected, before) or told != (quantity, amount):
                    self.wrong.append(f"{kind} {fields}: revision {row[3]} says {told}, its revisions are {(quantity, amount)}")
                before = row[4]
            net = self.nets[(kind, *(named.get(column, "") for column in PANE_COLUMNS), *(text or "" for text in row[10:]))]
            net.quantity += THERE if quantity is None else quantity
            net.amount += amount or 0
            net.panes += 1

    def compare(self, oracle):
        """Both are used up."""
        beyond = set()
        for name, expected in oracle.nets.items():
            found = self.nets.pop(name, None)
            if found is None and name[0] == "lot_status" and ("BEYOND_DEDUP_HORIZON", name[8]) in self.letters:
                beyond.add(name)
            elif found is None and (expected.quantity or expected.amount):
                self.wrong.append(f"{show(name)} is missing")
            elif found and (found.quantity != expected.quantity or 2 * abs(found.amount - expected.amount) > found.panes + expected.panes):
                self.wrong.append(f"{show(name)}: {found.quantity, found.amount} instead of {expected.quantity, expected.amount}")
        self.wrong += [f"{show(name)}: {net.quantity, net.amount} is too much" for name, net in self.nets.items() if net.quantity or net.amount]
        self.compare_outcomes(oracle.outcomes, len(beyond))

    def compare_outcomes(self, outcomes, beyond):
        """`beyond`: events that only the oracle accepts; their retries are duplicates only for it."""
        outcomes = collections.Counter(outcomes)
        retries = outcomes[DUPLICATE] - self.outcomes.get(DUPLICATE, 0)
        if not 0 <= retries <= beyond:
            self.wrong.append(f"{self.outcomes.get(DUPLICATE, 0)} duplicates instead of {outcomes[DUPLICATE]}")
        outcomes[ACCEPTED] -= beyond
        outcomes[DUPLICATE] -= retries
        outcomes[BEYOND] += outcomes.pop(TOO_LATE, 0) + beyond + retries
        for name in sorted(outcomes.keys() | self.outcomes.keys()):
            if outcomes[name] != self.outcomes.get(name, 0):
                self.wrong.append(f"outcome {' '.join(name)}: {self.outcomes.get(name, 0)} instead of {outcomes[name]}")


def plus(sum_so_far, more):
    return sum_so_far if more is None else (sum_so_far or 0) + more


def show(name):
    return " ".join(filter(None, name))


class Oracle:
    """The answers of the batch oracle, slice by slice."""

    def __init__(self, program, master, folder, simulator):
        self.program, self.master, self.folder = program, master, folder
        self.nets, self.outcomes = collections.defaultdict(Net), collections.Counter()
        first, last = (time.strftime("%Y-%m-%d", time.gmtime(at)) for at in (simulator.start - 4 * DAY_S, simulator.end() + 4 * DAY_S))
        with open(folder / "windows.csv", "wb") as file:
            subprocess.run([sys.executable, "-B", ROOT / "tests/oracle/windows.py", master, first, last], check=True, stdout=file)

    def ask(self, slices):
        """Slices: (records that were there before, records), bytes each."""
        for before, content in slices:
            self.add(before + content, 1)
            if before:
                self.add(before, -1)

    def add(self, content, sign):
        file, answer = self.folder / "slice.records", self.folder / "slice"
        file.write_bytes(content)
        done = subprocess.run([self.program, self.master, self.folder / "windows.csv", file, answer, "1"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failed(f"the oracle failed: {done.stderr}")
        with open(answer / "postings.csv", encoding="utf-8", newline="") as table:
            for row in csv.DictReader(table):
                net = self.nets[tuple(row[column] for column in ("type", *PANE_COLUMNS, "unit", "currency", "debit", "credit"))]
                net.quantity += sign * (units(row["quantity"], 6) if row["quantity"] else THERE)
                net.amount += sign * units(row["amount"] or "0.00", 2)
                net.panes += 1
        with open(answer / "outcomes.csv", encoding="utf-8", newline="") as table:
            for row in csv.DictReader(table):
                self.outcomes[row["outcome"], row["rule"]] += sign * int(row["count"])


def slices_of(blocks, first, last):
    """The records of the blocks, with a first and a last one, in slices."""
    before, parts, events = b"", [first], 1
    rest = b""
    for block in blocks:
        content = rest + block
        begin = last_end = 0
        for _, end in records(content):
            events += 1
            if events == SLICE_EVENTS:
                parts.append(content[begin:end])
                whole = b"".join(parts)
                yield before, whole
                before, parts, events, begin = end_of(whole), [], 0, end
            last_end = end
        parts.append(content[begin:last_end])
        rest = content[last_end:]
    yield before, b"".join((*parts, rest, last))


def end_of(content):
    """Its last records."""
    begins = collections.deque((begin for begin, _ in records(content)), maxlen=REPEATED_EVENTS)
    return content[begins[0]:]
