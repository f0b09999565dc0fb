"""The comparison of ten_million sees every kind of mistake: a small run of it, and answers with one mistake each.

    answer_test.py BUILD_FOLDER
"""
import json
import pathlib
import re
import shutil
import struct
import sys
import tempfile
import unittest

from answer import compare_bytes, compare_with_oracle, outcomes, records
from proof import Proof

EVENTS = 40_000
BUILD = pathlib.Path(sys.argv.pop(1)).resolve()


class Comparison(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory(prefix="determinism-", dir=BUILD)
        cls.addClassCleanup(scratch.cleanup)
        cls.proof = Proof(BUILD, pathlib.Path(scratch.name), EVENTS, seed=7)
        cls.proof.generate()
        cls.answer, cls.oracle = cls.proof.run(1), cls.proof.run_oracle()

    def spoiled(self, name, change):
        """A copy of the answer in which `change` has been made to the lines of one file."""
        folder = self.proof.folder / "spoiled"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.answer, folder)
        lines = (folder / name).read_text(encoding="utf-8").splitlines(keepends=True)
        change(lines)
        (folder / name).write_text("".join(lines), encoding="utf-8")
        return folder

    def expect(self, folder, pattern):
        found = compare_with_oracle(folder, self.oracle, EVENTS)[1]
        self.assertTrue(any(re.search(pattern, line) for line in found), f"nothing like '{pattern}' in {found}")
        self.assertNotEqual(compare_bytes(self.answer, folder), [])

    def spoiled_posting(self, change, number=0):
        """`change` gets the posting as a dict, of those that are revision 1 with lines."""
        def spoil(lines):
            postings = [(at, json.loads(line)) for at, line in enumerate(lines)]
            at, posting = [(at, posting) for at, posting in postings if posting.get("lines") and posting["revision"] == 1][number]
            change(posting)
            lines[at] = json.dumps(posting) + "\n"
        return self.spoiled("postings-000001.jsonl", spoil)

    def test_what_is_right_passes(self):
        (postings, panes), found = compare_with_oracle(self.answer, self.oracle, EVENTS)
        self.assertEqual(found, [])
        self.assertGreater(panes, 1000)
        self.assertGreater(postings, panes)

    def test_lanes_and_folders_do_not_matter(self):
        other = self.other_proof(self.proof.file)
        other.master = shutil.copytree(self.proof.master, other.folder / "master")
        self.assertEqual(compare_bytes(self.answer, other.run(4)), [])

    def test_a_journal_does_not_matter(self):
        other = self.other_proof(self.proof.file)
        plain, durable = other.ledger("plain", 1), other.ledger("durable", 4, "--state", other.folder / "state")
        self.assertEqual(compare_bytes(plain, durable), [])
        self.assertEqual(outcomes(durable / "outcomes.csv"), outcomes(self.oracle / "outcomes.csv"))

    def test_the_events_have_everything_in_them(self):
        found = outcomes(self.answer / "outcomes.csv")
        dead_letters = {rule for outcome, rule in found if outcome == "dead_letter"}
        self.assertEqual({outcome for outcome, _ in found}, {"accepted", "duplicate", "filtered", "dead_letter"})
        self.assertEqual(dead_letters, {"DECODE", "FUTURE_TIME", "MISSING_FIELD", "NEGATIVE_QUANTITY", "MISSING_MASTER_DATA", "TOO_LATE"})
        postings = list(records(self.answer, "postings"))
        self.assertEqual({posting["type"] for posting in postings},
                         {"goods_receipt", "goods_issue", "scrap", "machine_cost", "labor_cost", "energy_cost", "lot_status"})
        self.assertTrue(any(posting["revision"] > 1 for posting in postings))

    def test_a_wrong_amount_in_all_its_places(self):
        def change(posting):
            def one_more(text):
                return f"{(int(text.replace('.', '')) + 1) // 100}.{(int(text.replace('.', '')) + 1) % 100:02}"
            for part in (posting, *posting["lines"]):
                for name in part.keys() & {"amount", "amount_cumulative"}:
                    part[name] = one_more(part[name])
        self.expect(self.spoiled_posting(change), "pane different|add up to")

    def test_a_wrong_cumulative_value(self):
        self.expect(self.spoiled_posting(lambda posting: posting.update(quantity_cumulative="0.000001")), "add up to")

    def test_lines_that_do_not_balance(self):
        self.expect(self.spoiled_posting(lambda posting: posting["lines"][0].update(amount="0.01")), "debit 1 and credit")

    def test_another_date_and_another_account(self):
        self.expect(self.spoiled_posting(lambda posting: posting.update(posting_date="2026-10-01")), "pane different|other texts")
        self.expect(self.spoiled_posting(lambda posting: posting.update(debit="000000")), "pane different|other texts")

    def test_a_pane_too_few_and_one_too_many(self):
        def move(posting):
            posting["key_fields"]["plant"] = "P101"
        folder = self.spoiled_posting(move, number=1)
        self.expect(folder, "pane missing|revision")
        self.expect(folder, "pane unexpected|revision")

    def test_a_posting_that_came_twice(self):
        self.expect(self.spoiled("postings-000001.jsonl", lambda lines: lines.append(lines[-1])), "is revision")

    def test_a_dead_letter_that_is_lost_and_one_for_another_reason(self):
        self.expect(self.spoiled("dead_letters-000001.jsonl", lambda lines: lines.pop()), "dead letter missing")

        def change(lines):
            lines[0] = re.sub('"reason":"[A-Z_]*"', '"reason":"OTHER"', lines[0])
        self.expect(self.spoiled("dead_letters-000001.jsonl", change), "dead letter unexpected.*OTHER")

    def test_an_outcome_that_is_miscounted(self):
        def change(lines):
            lines[1:] = [re.sub("[0-9]+$", lambda count: str(int(count[0]) + 1), line) for line in lines[1:2]] + lines[2:]
        self.expect(self.spoiled("outcomes.csv", change), f"{EVENTS + 1} events have an outcome")

    def test_the_order_of_postings(self):
        def swap(lines):
            lines[0], lines[1] = lines[1], lines[0]
        folder = self.spoiled("postings-000001.jsonl", swap)
        self.assertEqual(compare_with_oracle(folder, self.oracle, EVENTS)[1], [])
        self.assertRegex(compare_bytes(self.answer, folder)[0], "^postings-000001.jsonl:1: ")

    def test_an_event_that_the_daemon_did_not_get(self):
        other = self.other_proof()
        events = self.proof.file.read_bytes()
        at = 0
        for _ in range(EVENTS // 2):
            at += 4 + struct.unpack_from("<I", events, at)[0]
        end = at + 4 + struct.unpack_from("<I", events, at)[0]
        other.file.write_bytes(events[:at] + events[end:])
        self.expect(other.run(1), f"{EVENTS - 1} events have an outcome")

    def test_a_price_that_the_daemon_read_otherwise(self):
        other = self.other_proof(self.proof.file)
        other.master = shutil.copytree(self.proof.master, other.folder / "master")
        tariffs = other.master / "tariffs.csv"
        text = tariffs.read_text(encoding="utf-8")
        tariffs.write_text(re.sub("[.]([0-9]+)$", r".\g<1>9", text, count=1, flags=re.MULTILINE), encoding="utf-8")
        self.expect(other.run(1), "pane different: energy_cost")

    def other_proof(self, file=None):
        """With a folder of its own, the same tables, and events of its own or those of `file`."""
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.proof.folder))
        other = Proof(BUILD, folder, EVENTS, seed=7)
        other.master, other.file = self.proof.master, file or other.file
        return other


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "--verbose"])
