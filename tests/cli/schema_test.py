"""The JSON Schema that `takt schema` prints, held against the configs by a validator that is not ours.

    schema_test.py TAKT
"""
import json
import os
import pathlib
import subprocess
import sys
import unittest

import jsonschema
import yaml

CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "configs"
TAKT = ""

# Of configs/rejected: what the form alone gives away. The others are wrong in what they mean: names, types, dependencies.
WRONG_IN_FORM = {"dead_letter_limits", "duration_without_unit", "unknown_connectors", "unknown_operator", "unknown_option"}

PIPELINE = {
    "pipeline": "small",
    "engine": {"epoch": "100ms", "epoch_bytes": "64MiB"},
    "sources": {"floor": {"jetstream": {"stream": "PLANT"}, "schema": "event.bfbs", "time": {"event": "event_time"}}},
    "tables": {"prices": {"csv": "prices.csv", "key": "material", "columns": {"price": "decimal(2)"}}},
    "calendars": {"shifts": {"csv": "shifts.csv", "key": "plant"}},
    "steps": [{"dedup": "once", "by": "event_id", "horizon": "48h"}],
    "postings": {"made": {"from": "once", "by": ["material"], "window": {"tumbling": "1h"}, "quantity": "sum(quantity)"}},
    "sinks": {"ledger": {"sqlite": "ledger.db"}, "bus": {"jetstream": {"format": "flatbuffers"}, "postings": ["made"]}},
}


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


class Schema(unittest.TestCase):
    def setUp(self):
        text = subprocess.run([TAKT, "schema"], capture_output=True, text=True, check=True).stdout
        self.schema = json.loads(text)
        self.validator = jsonschema.Draft202012Validator(self.schema)

    def errors(self, config):
        return [f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in self.validator.iter_errors(config)]

    def test_it_is_a_schema_of_the_draft_that_it_names(self):
        self.assertEqual(self.schema["$schema"], "https://json-schema.org/draft/2020-12/schema")
        jsonschema.Draft202012Validator.check_schema(self.schema)

    def test_every_shipped_config_fits(self):
        paths = [path for path in sorted(CONFIGS.rglob("*.yaml")) if path.parent.name != "rejected" and not path.name.endswith(".test.yaml")]
        self.assertGreaterEqual(len(paths), 6)
        for path in paths:
            self.assertEqual(self.errors(load(path)), [], path.name)

    def test_of_the_rejected_configs_those_that_are_wrong_in_form_do_not_fit(self):
        found = {path.stem for path in sorted((CONFIGS / "rejected").glob("*.yaml")) if self.errors(load(path))}
        self.assertEqual(found, WRONG_IN_FORM)

    def test_a_mistake_in_any_section_is_found(self):
        self.assertEqual(self.errors(PIPELINE), [])
        mistakes = [
            ("pipeline", 7),
            ("pipelin", "small"),
            ("engine", {"epoch": 100}),
            ("sources", {"floor": {"jetstream": {"stream": "PLANT"}, "file": "a"}}),                  # two connectors
            ("sources", {"floor": {"file": "a", "time": {"event": "event_time", "out_of_order": 5}}}),
            ("sources", {"floor": {"file": "a", "time": {"evnt": "event_time"}}}),
            ("sources", {"floor": {"file": "a", "format": "xml"}}),
            ("sources", {"floor": {"file": "a", "format": {"csv": {"headr": True}}}}),
            ("sources", {"floor": {"file": "a", "format": {"csv": {"fields": {"x": {"typ": "int"}}}}}}),
            ("sources", {"floor": {"file": "a", "format": {"csv": {}, "tsv": {}}}}),
            ("tables", {"prices": {"csv": "prices.csv", "columns": {}}}),                             # no key
            ("calendars", {"shifts": {"csv": "shifts.csv"}}),
            ("steps", [{"dedup": "once", "by": "event_id", "horizon": "48h", "filter": "keep"}]),     # two operators
            ("postings", {"made": {"by": ["material"], "quantitiy": "sum(quantity)"}}),
            ("sinks", {"bus": {"jetstream": {"format": "xml"}}}),
        ]
        for section, wrong in mistakes:
            self.assertNotEqual(self.errors({**PIPELINE, section: wrong}), [], (section, wrong))
        self.assertEqual(self.errors({**PIPELINE, "sources": {"floor": {"file": "a", "format": {"csv": {"fields": {"x": "int"}}}}}}), [])


if __name__ == "__main__":
    TAKT = os.path.abspath(sys.argv.pop(1))
    unittest.main()
