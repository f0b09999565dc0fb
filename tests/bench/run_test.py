"""bench/run turns what Google Benchmark reports into lines, and fails where a benchmark reports an error."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

DRIVER = pathlib.Path(__file__).resolve().parents[2] / "bench/run"


def entry(name, rate, label="", **more):
    return {"name": name, "run_name": name, "run_type": "iteration", "items_per_second": rate, "label": label, "real_time": 1.0, **more}


class BenchRun(unittest.TestCase):
    def drive(self, entries, status=0):
        """(exit status, lines) of the driver on a binary that reports `entries` and ends with `status`."""
        with tempfile.TemporaryDirectory() as folder:
            binary = pathlib.Path(folder) / "some_bench"
            binary.write_text("#!/usr/bin/env python3\n"
                              "import sys\n"
                              "out = next(a.split('=', 1)[1] for a in sys.argv if a.startswith('--benchmark_out='))\n"
                              f"open(out, 'w').write({json.dumps(json.dumps({'benchmarks': entries}))})\n"
                              f"sys.exit({status})\n", encoding="utf-8")
            binary.chmod(0o755)
            done = subprocess.run([DRIVER, "--quick", "--folder", folder], capture_output=True, text=True, check=False)
            return done.returncode, done.stdout.splitlines()

    def test_a_rate_is_the_median_with_its_ratio_to_the_baseline_and_its_goal(self):
        status, lines = self.drive([entry("chain/wide", rate, "baseline=limit/wide goal=4000000") for rate in (3e6, 5e6, 4e6)]
                                   + [entry("limit/wide/real_time", 8e6)])
        self.assertEqual(status, 0)
        self.assertEqual(lines, ["chain.wide 4000000 events/s 0.500 4000000", "chain.wide.ns_per_event 250 ns - -",
                                 "limit.wide 8000000 events/s - -", "limit.wide.ns_per_event 125 ns - -"])

    def test_a_counter_is_a_figure_of_its_own(self):
        _, lines = self.drive([entry("dedup", 1e6, "goal.bytes_per_id=24", bytes_per_id=21.5)])
        self.assertIn("dedup.bytes_per_id 21.5 bytes/id - 24", lines)

    def test_a_skipped_benchmark_is_a_failure_although_its_binary_exits_0(self):
        status, lines = self.drive([entry("wrong", 0, error_occurred=True, error_message="the answer is wrong"), entry("right", 1e6)])
        self.assertEqual(status, 1)
        self.assertTrue(any(line.startswith("right ") for line in lines))
        self.assertFalse(any(line.startswith("wrong") for line in lines))

    def test_a_binary_that_ends_badly_or_reports_nothing_is_a_failure(self):
        self.assertEqual(self.drive([entry("fine", 1e6)], status=3)[0], 1)
        self.assertEqual(self.drive([])[0], 1)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "--verbose"])
