"""Events out of JSON lines or out of a file of FlatBuffers records.

Both yield (line, event): `event` is None for what cannot be decoded, otherwise a tuple in the order of FIELDS. Strings are
`str`, times are nanoseconds, quantities millionths; what is absent is None.
"""
import datetime
import json
import re
import struct

from decimals import INT64_MAX, INT64_MIN, parse_millionths

FIELDS = ("event_id", "kind", "event_time", "recorded_time", "plant", "area", "work_center", "order_id", "operation", "material",
          "revision", "lot", "quantity", "unit", "value", "status", "reason", "operator_id", "corrects")
KINDS = ("unknown", "reading", "machine_state", "cycle", "produced", "scrapped", "consumed", "returned", "machine_time",
         "labor_time", "energy", "lot_status", "quality_result", "nonconformance", "order_released", "order_closed",
         "shipment_ready", "revision_released")
PLACES = {name: place for place, name in enumerate(FIELDS)}
TIMES = (PLACES["event_time"], PLACES["recorded_time"])
QUANTITY, VALUE, KIND = PLACES["quantity"], PLACES["value"], PLACES["kind"]
LONGEST_LINE_BYTES = 1 << 20
TIME = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
                  r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))")
EPOCH_DAY = datetime.date(1970, 1, 1).toordinal()


class Malformed(Exception):
    """The bytes are no event."""


class Number(str):
    """A number of JSON, as it was written."""


class Object(list):
    """The fields of a JSON object in their order, repeated ones too."""


def refuse_constant(text):
    raise Malformed(text)


DECODER = json.JSONDecoder(object_pairs_hook=Object, parse_int=Number, parse_float=Number, parse_constant=refuse_constant)


def parse_time(text):
    """RFC 3339 as nanoseconds since 1970, or None."""
    match = TIME.fullmatch(text)
    if not match:
        return None
    year, month, day, hour, minute, second, fraction, sign, offset_hours, offset_minutes = match.groups()
    hour, minute, second = int(hour), int(minute), int(second)
    if hour > 23 or minute > 59 or second > 59:
        return None
    try:
        days = datetime.date(int(year), int(month), int(day)).toordinal() - EPOCH_DAY
    except ValueError:
        return None
    seconds = days * 86400 + hour * 3600 + minute * 60 + second
    if sign:
        hours, minutes = int(offset_hours), int(offset_minutes)
        if hours > 23 or minutes > 59:
            return None
        offset = hours * 3600 + minutes * 60
        seconds -= -offset if sign == "-" else offset
    nanoseconds = seconds * 1_000_000_000 + (int(fraction.ljust(9, "0")) if fraction else 0)
    return nanoseconds if INT64_MIN <= nanoseconds <= INT64_MAX else None


def storable(text):
    """No ERP or database text holds U+0000 or half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def event_of_json(line):
    try:
        found = DECODER.decode(line.decode("utf-8"))
    except (ValueError, RecursionError):
        raise Malformed("not JSON") from None
    if not isinstance(found, Object):
        raise Malformed("not an object")
    event = [None] * len(FIELDS)
    seen = set()
    for name, value in found:
        place = PLACES.get(name)
        if place is None:
            continue
        if place in seen:
            raise Malformed(f"{name} twice")
        seen.add(place)
        if value is None:
            continue
        if type(value) is Number:
            if place not in (QUANTITY, VALUE):
                raise Malformed(f"{name} is a number")
        elif type(value) is not str or place == VALUE or not storable(value):
            raise Malformed(f"{name} has another type")
        if value == "":
            continue
        if place == QUANTITY:
            value = parse_millionths(value)
        elif place in TIMES:
            value = parse_time(value)
        elif place == KIND and value not in KINDS[1:]:
            value = None
        if value is None:
            raise Malformed(f"{name} is out of its range")
        event[place] = value
    return complete(event)


def complete(event):
    if event[0] is None or event[1] is None or event[2] is None:
        raise Malformed("incomplete")
    return tuple(event)


def json_lines(path):
    """Every line of the file that is not blank."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            line = line.removesuffix(b"\n")
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if not line.strip(b" \t\r"):
                continue
            try:
                if len(line) > LONGEST_LINE_BYTES:
                    raise Malformed("too long")
                yield number, event_of_json(line)
            except Malformed:
                yield number, None


INT64_FIELDS = {*TIMES, QUANTITY}


def event_of_table(record):
    """The root table of a FlatBuffers message; only positions inside `record` are ever read."""
    def read(form, position):
        if position < 0 or position + struct.calcsize(form) > len(record):
            raise Malformed("beyond the end")
        return struct.unpack_from(form, record, position)[0]

    table = read("<I", 0)
    vtable = table - read("<i", table)
    vtable_bytes = read("<H", vtable)
    event = [None] * len(FIELDS)
    for place in range(len(FIELDS)):
        slot = 4 + 2 * place
        offset = read("<H", vtable + slot) if slot + 2 <= vtable_bytes else 0
        if not offset:
            continue
        at = table + offset
        if place == KIND:
            kind = read("<B", at)
            if kind >= len(KINDS):
                raise Malformed("unknown kind")
            event[place] = KINDS[kind] if kind else None
        elif place in INT64_FIELDS:
            event[place] = read("<q", at)
        elif place == VALUE:
            event[place] = read("<d", at)
        else:
            start = at + read("<I", at)
            length = read("<I", start)
            if start + 4 + length > len(record):
                raise Malformed("string beyond the end")
            try:
                text = record[start + 4:start + 4 + length].decode("utf-8")
            except UnicodeDecodeError:
                raise Malformed("no UTF-8") from None
            if "\0" in text:
                raise Malformed("U+0000")
            event[place] = text or None
    return complete(event)


def flatbuffers_records(path):
    """Size-prefixed records back to back; a record's number stands for its line, an empty one for a blank line."""
    with open(path, "rb") as file:
        number = 0
        while prefix := file.read(4):
            number += 1
            record = file.read(struct.unpack("<I", prefix)[0])
            if not record:
                continue
            try:
                yield number, event_of_table(record)
            except Malformed:
                yield number, None
