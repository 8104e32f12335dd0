#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`sabot sim`: apps of users. A good one passes, one that keeps something outside of its state does not."""
import os
import re
import unittest

from _command import SABOT, CommandTest, compile_app

FRAUD = os.path.join(os.path.dirname(SABOT), "fraud.so")


class Simulation(CommandTest):
    def setUp(self):
        super().setUp()
        compile_app(self.folder, "test/e2e/_counter.c", "counter.so")
        with open(os.path.join(self.folder, "words.jsonl"), "w", encoding="ascii") as words:
            for i in range(400):
                words.write(f'{{"word":"w{i % 7}"}}\n')

    def simulate(self, *options):
        return self.sabot("-A", "counter.so:app", "sim", "--bind", "words=file:words.jsonl", *options)

    def test_an_app_that_keeps_what_it_knows_in_its_state_passes(self):
        done = self.simulate("--seed", "1..40")
        self.assertEqual(0, done.code, done.err)
        self.assertIn("40 seeds", done.out)

    def test_an_app_with_a_source_passes(self):
        done = self.sabot("-A", f"{FRAUD}:app", "sim", "--seed", "1..20", "-O", "fraud.count=1000")
        self.assertEqual(0, done.code, done.err)

    def test_a_seed_has_one_hash(self):
        first = self.simulate("--seed", "3")
        self.assertRegex(first.out, r"^seed 3 hash [0-9a-f]{16}\n$")
        self.assertEqual(first.out, self.simulate("--seed", "3").out)

    def test_what_is_kept_in_a_variable_is_found_and_replayed(self):
        done = self.simulate("--seed", "1..40", "-O", "counter.where=variable")
        self.assertEqual(1, done.code, done.err)
        self.assertIn("than in the run without faults", done.err)
        again = re.search(r"replay it with: sim (--seed \d+ --faults [a-z,]+)", done.err)
        self.assertIsNotNone(again, done.err)
        self.assertEqual(1, self.simulate(*again.group(1).split(), "-O", "counter.where=variable").code)

    def test_the_apps_own_check_is_asked(self):
        done = self.simulate("--seed", "1..5", "-O", "counter.limit=100")
        self.assertEqual(1, done.code, done.err)
        self.assertIn("there are more than 100 records", done.err)

    def test_an_input_without_a_file_is_refused(self):
        done = self.sabot("-A", "counter.so:app", "sim", "--seed", "1")
        self.assertEqual(2, done.code, done.err)
        self.assertIn("--bind words=file:PATH", done.err)

    def test_an_unknown_fault_is_refused(self):
        done = self.simulate("--seed", "1", "--faults", "flood")
        self.assertEqual(2, done.code, done.err)
        self.assertIn("crash", done.err)


if __name__ == "__main__":
    unittest.main()
