"""The configs for real data give what independent programs compute from the same files.

    real_data_test.py TAKT        exit status 77: ../shared/data is not here
"""
import csv
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

from machine_energy import kilowatt_hours, watt_seconds
from mes_machine_cost import machine_cost

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("TAKT_SHARED", ROOT.parent / "shared")) / "data"
TAKT = pathlib.Path(sys.argv.pop(1)).resolve()
# As the tables and prices stand in the configs.
MACHINE_RATES = {"Turning & Milling": "84.50", "Round Grinding": "96.00", "Laser Marking": "58.25", "*": "41.20"}
PRICE_PER_KWH_IN_MILLIONTHS = 245_000


def postings(config, **environment):
    """The postings that a run of the config leaves in its ledger."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = f"{folder}/ledger.db"
        run = subprocess.run([TAKT, "run", ROOT / "configs" / config, "--progress", "none"], check=False, capture_output=True, text=True,
                             env={**os.environ, **environment, "TAKT_LEDGER": ledger})
        if run.returncode:
            raise AssertionError(f"takt run {config} ended with {run.returncode}:\n{run.stderr}")
        subprocess.run([TAKT, "ledger", ledger, "export", folder], check=True, stdout=subprocess.DEVNULL)
        with open(f"{folder}/postings.csv", encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


class RealData(unittest.TestCase):
    def test_the_mes_log_becomes_machine_cost_per_order_and_shift(self):
        log = DATA / "mes_log.csv"
        found = sorted((row["order_id"], row["window_start"], row["window_end"], row["posting_date"], row["quantity"], row["amount"])
                       for row in postings("mes_machine_cost.yaml", MES_LOG=str(log)))
        expected = machine_cost(log, ROOT / "configs/master/mes_shifts.csv", "Europe/Berlin", MACHINE_RATES)
        self.assertGreater(len(expected), 1000)
        self.assertEqual(found, expected)

    def test_the_power_of_a_machine_becomes_its_energy(self):
        log = DATA / "sensor_100hz.tsv"
        energy = kilowatt_hours(watt_seconds(log))
        cents = round(int(energy.replace(".", "")) * PRICE_PER_KWH_IN_MILLIONTHS / 10**10)
        found = [(row["window_start"], row["quantity"], row["unit"], row["amount"]) for row in
                 postings("machine_energy.yaml", SENSOR_LOG=str(log))]
        self.assertEqual(found, [("2012-02-21T23:00:00Z", energy, "kWh", f"{cents / 100:.2f}")])


if __name__ == "__main__":
    if not DATA.is_dir():
        print(f"SKIP: {DATA} is not here")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], "--verbose"])
