"""What a run left in its folder (sink `file`, JSON lines), beside what another run left, and beside what the batch oracle computed."""
import csv
import itertools
import json
import re

SHOWN = 10
PANE_COLUMNS = ("plant", "order_id", "material", "lot", "work_center", "reason", "status", "event_id")
TEXT_COLUMNS = ("posting_date", "unit", "currency", "debit", "credit")
QUANTITY_DECIMALS = 6
AMOUNT_DECIMALS = 2
SEPARATOR = "\x1f"
# When the daemon read a refused event: by the clock on the wall, the only such thing that it writes.
INGEST_TIME = re.compile(rb'"ingest_time":"[^"]*"')


class Broken(Exception):
    """An answer contradicts itself."""


def units(text, decimals):
    """A decimal in plain notation as a whole number of units of its last place; None for an absent one."""
    if not text:
        return None
    whole, _, fraction = text.partition(".")
    if len(fraction) != decimals:
        raise Broken(f"{text} has not {decimals} decimals")
    return int(whole + fraction)


def plus(sum_so_far, more):
    return sum_so_far if more is None else (sum_so_far or 0) + more


def records(folder, name):
    """The records of one kind, in the order of their files and lines."""
    for path in sorted(folder.glob(f"{name}-*.jsonl")):
        with open(path, encoding="utf-8") as file:
            yield from map(json.loads, file)


def check_document(posting):
    """Debit equals credit, and both are the amount."""
    sides = {"debit": 0, "credit": 0}
    for line in posting.get("lines", ()):
        sides[line["side"]] += units(line["amount"], AMOUNT_DECIMALS)
    amount = units(posting.get("amount"), AMOUNT_DECIMALS) or 0
    if set(sides.values()) != {amount}:
        raise Broken(f"posting {posting['key']} of {amount} has debit {sides['debit']} and credit {sides['credit']}")


class Net:
    """A pane: the sum of its revisions."""
    __slots__ = ("revision", "quantity", "amount", "texts", "key")

    def __init__(self):
        self.revision, self.quantity, self.amount, self.texts, self.key = 0, None, None, "", ""

    def add(self, posting):
        revision, texts = posting["revision"], SEPARATOR.join(posting.get(column, "") for column in TEXT_COLUMNS)
        if revision != self.revision + 1 or posting.get("previous_key", "") != self.key:
            raise Broken(f"posting {posting['key']} is revision {revision} after {self.revision} {self.key}")
        if revision > 1 and texts != self.texts:
            raise Broken(f"posting {posting['key']} has other texts than revision {self.revision}")
        self.revision, self.texts, self.key = revision, texts, posting["key"]
        self.quantity = plus(self.quantity, units(posting.get("quantity"), QUANTITY_DECIMALS))
        self.amount = plus(self.amount, units(posting.get("amount"), AMOUNT_DECIMALS))
        cumulative = (units(posting.get("quantity_cumulative"), QUANTITY_DECIMALS), units(posting.get("amount_cumulative"), AMOUNT_DECIMALS))
        if cumulative != (self.quantity, self.amount):
            raise Broken(f"posting {posting['key']} says that its revisions add up to {cumulative}, not {(self.quantity, self.amount)}")

    def values(self):
        return self.quantity, self.amount, self.texts

    def says_nothing(self, name):
        return not name.startswith("lot_status") and not self.quantity and not self.amount


def net_of(folder):
    """(number of postings, pane's name -> Net)."""
    panes, keys = {}, set()
    for posting in records(folder, "postings"):
        check_document(posting)
        fields = posting["key_fields"]
        name = SEPARATOR.join((posting["type"], *(fields.get(column, "") for column in PANE_COLUMNS),
                               posting.get("window_start", ""), posting.get("window_end", "")))
        panes.setdefault(name, Net()).add(posting)
        keys.add(posting["key"])
    count = sum(pane.revision for pane in panes.values())
    if len(keys) != count:
        raise Broken(f"{count} postings have only {len(keys)} keys")
    return count, panes


def table(path):
    with open(path, encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def show(name):
    return " ".join(filter(None, name.split(SEPARATOR)))


class Differences:
    """Lines of text; only the first ones of a kind are kept."""

    def __init__(self):
        self.lines, self.counts = [], {}

    def add(self, kind, text):
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if self.counts[kind] <= SHOWN:
            self.lines.append(f"{kind}: {text}")

    def all(self):
        return self.lines + [f"{kind}: {count} in all" for kind, count in self.counts.items() if count > SHOWN]


def compare_postings(folder, oracle, differences):
    """(number of postings, number of panes)."""
    count, panes = net_of(folder)
    figures = count, len(panes)
    for row in table(oracle / "postings.csv"):
        name = SEPARATOR.join((row["type"], *(row[column] for column in PANE_COLUMNS), row["window_start"], row["window_end"]))
        expected = (units(row["quantity"], QUANTITY_DECIMALS), units(row["amount"], AMOUNT_DECIMALS),
                    SEPARATOR.join(row[column] for column in TEXT_COLUMNS))
        pane = panes.pop(name, None)
        if pane is None:
            differences.add("pane missing", show(name))
        elif pane.values() != expected:
            differences.add("pane different", f"{show(name)}: expected {expected}, got {pane.values()}")
    for name, pane in panes.items():
        if not pane.says_nothing(name):
            differences.add("pane unexpected", f"{show(name)}: {pane.values()}")
    return figures


def compare_dead_letters(folder, oracle, differences):
    found = sorted((letter["sequence"], letter.get("event_id", ""), letter["reason"]) for letter in records(folder, "dead_letters"))
    expected = sorted((int(row["line"]), row["event_id"], row["reason"]) for row in table(oracle / "dead_letters.csv"))
    if found != expected:
        for letter in sorted(set(expected) - set(found)):
            differences.add("dead letter missing", letter)
        for letter in sorted(set(found) - set(expected)):
            differences.add("dead letter unexpected", letter)
        differences.add("dead letters", f"expected {len(expected)}, got {len(found)}")


def outcomes(path):
    return {(row["outcome"], row["rule"]): int(row["count"]) for row in table(path) if int(row["count"])}


def compare_outcomes(folder, oracle, events, differences):
    found, expected = outcomes(folder / "outcomes.csv"), outcomes(oracle / "outcomes.csv")
    for outcome in sorted(found.keys() | expected.keys()):
        if found.get(outcome) != expected.get(outcome):
            differences.add("outcome", f"{' '.join(outcome)}: expected {expected.get(outcome, 0)}, got {found.get(outcome, 0)}")
    if sum(found.values()) != events:
        differences.add("outcomes", f"{sum(found.values())} events have an outcome, not {events}")


def compare_with_oracle(folder, oracle, events):
    """((number of postings, number of panes), lines that say what is different)."""
    differences, figures = Differences(), (0, 0)
    try:
        figures = compare_postings(folder, oracle, differences)
    except Broken as broken:
        differences.add("broken", broken)
    compare_dead_letters(folder, oracle, differences)
    compare_outcomes(folder, oracle, events, differences)
    return figures, differences.all()


def compare_bytes(one, other):
    """Lines that say which files of two runs differ, and where first; but for the ingest times of dead letters."""
    names = [sorted(path.name for path in folder.iterdir()) for folder in (one, other)]
    if names[0] != names[1]:
        return [f"files: {names[0]} and {names[1]}"]
    differences = []
    for name in names[0]:
        with open(one / name, "rb") as first, open(other / name, "rb") as second:
            for number, lines in enumerate(itertools.zip_longest(first, second), 1):
                if lines[0] != lines[1] and (None in lines or not name.startswith("dead_letters") or
                                             INGEST_TIME.sub(b"", lines[0]) != INGEST_TIME.sub(b"", lines[1])):
                    differences.append(f"{name}:{number}: {lines[0]} and {lines[1]}")
                    break
    return differences
