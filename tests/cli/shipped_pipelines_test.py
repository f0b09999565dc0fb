"""Each pipeline of configs/ has a test file beside it, which passes, and which fails when one of the pipeline's rules is another one.

    shipped_pipelines_test.py TAKT
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
TAKT = ""

# By pipeline: the file that has the rule, the rule, and another one in its place.
OTHER_RULES = {
    "plant_to_ledger": [
        ("reference_rules.yaml", 'kind in ["reading", "machine_state", "cycle"]', 'kind in ["reading", "machine_state"]'),
        ("reference_rules.yaml", 'startsWith("TEST-")', 'startsWith("TRY-")'),
        ("reference_rules.yaml", 'quantity == decimal("0")', 'quantity == decimal("1")'),
        ("reference_rules.yaml", "same: [kind, event_time, order_id, quantity, unit]", "same: [kind, event_time, order_id, unit]"),
        ("reference_rules.yaml", "horizon: 48h", "horizon: 49h"),
        ("reference_rules.yaml", ' || has(corrects)', ""),
        ("reference_rules.yaml", '"released", "blocked", "rejected"', '"released", "blocked", "rejected", "sold"'),
        ("reference_rules.yaml", "that: center.plant == plant }\n      factor:  time_units", "that: true }\n      factor:  time_units"),
        ("reference_rules.yaml", "factor.per_hour, 6)", "factor.per_hour, 0)"),
        ("reference_rules.yaml", "[MJ, 10, 36]", "[MJ, 1, 36]"),
        ("reference_rules.yaml", "window: { tumbling: 1h }", "window: { tumbling: 2h }"),
        ("reference_rules.yaml", "window: { day: local }", "window: { tumbling: 24h }"),
        ("reference_rules.yaml", "amount: sum(base * center.machine_rate)", "amount: sum(base * center.labor_rate)"),
        ("reference_rules.yaml", '\'sum(kind == "returned" ? -base : base)\'', "sum(base)"),
        ("reference_rules.yaml", "lateness: 8h", "lateness: 7h"),
        ("plant_to_ledger.yaml", "future: 10m", "future: 9m"),
        ("plant_to_ledger.yaml", "2000-01-01", "1999-01-01"),
    ],
    "mes_machine_cost": [
        ("mes_machine_cost.yaml", '"84.50"', '"84.51"'),
        ("mes_machine_cost.yaml", '["*", "41.20"]', '["*", "41.21"]'),
        ("mes_machine_cost.yaml", "ended <= started", "ended < started"),
        ("mes_machine_cost.yaml", "zone: Europe/Berlin", "zone: Europe/Lisbon"),
        ("mes_machine_cost.yaml", "3600, 6)", "3600, 2)"),
        ("mes_machine_cost.yaml", "out_of_order: 120d", "out_of_order: 1d"),
        ("master/mes_shifts.csv", "06:00,14:00\nP100,late,14:00", "06:00,15:00\nP100,late,15:00"),
    ],
    "machine_energy": [
        ("machine_energy.yaml", "0.245", "0.246"),
        ("machine_energy.yaml", "integral(phase_1 + phase_2 + phase_3)", "integral(phase_1 + phase_2)"),
        ("machine_energy.yaml", "3600000, 6)", "3600000, 1)"),
        ("machine_energy.yaml", "lateness: 10m", "lateness: 11m"),
        ("machine_energy.yaml", "column: 3", "column: 4"),
        ("machine_energy.yaml", '"Europe/Berlin"', '"Etc/UTC"'),
        ("machine_energy.yaml", "constant: M-1", "constant: M-2"),
    ],
}


def run_test(path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TAKT_")}
    return subprocess.run([TAKT, "test", str(path)], capture_output=True, text=True, check=False, timeout=60, env=environment)


class ShippedPipelines(unittest.TestCase):
    def test_each_has_a_test_that_passes(self):
        names = sorted(path.stem for path in CONFIGS.glob("*.yaml") if "\nsources:" in path.read_text(encoding="utf-8"))
        self.assertEqual(names, sorted(OTHER_RULES))
        for name in names:
            done = run_test(CONFIGS / f"{name}.test.yaml")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertRegex(done.stdout, r"([1-9]\d*) of \1 cases, 0 failed\n$")

    def test_each_rule_that_is_another_one_is_found(self):
        for name, rules in OTHER_RULES.items():
            for file, before, after in rules:
                with self.subTest(name=name, before=before), tempfile.TemporaryDirectory() as folder:
                    shutil.copytree(CONFIGS, f"{folder}/configs")
                    shutil.copytree(ROOT / "schemas", f"{folder}/schemas")
                    path = pathlib.Path(folder) / "configs" / file
                    text = path.read_text(encoding="utf-8")
                    self.assertIn(before, text)
                    path.write_text(text.replace(before, after), encoding="utf-8")
                    done = run_test(f"{folder}/configs/{name}.test.yaml")
                    self.assertEqual(done.returncode, 1, f"{before} -> {after}\n{done.stdout}{done.stderr}")
                    self.assertIn("FAILED", done.stdout)


if __name__ == "__main__":
    TAKT = os.path.abspath(sys.argv.pop(1))
    unittest.main()
