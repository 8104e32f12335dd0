#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The reader of the exactly-once tests, against a broker that is busy: it never takes for lost what can't be seen yet.

The broker is a script in the place of kcat, which answers question after question from a list.
"""
import json
import os
import pathlib
import shutil
import tempfile
import unittest

from _ledger import Ledger

KCAT = """#!/bin/sh
# The next answer of a list for -Q or for -C: its exit code, what it says, what it prints.
case " $* " in *" -Q "*) list=ends ;; *) list=read ;; esac
number=$(cat "$0.$list.number" 2>/dev/null || echo 0)
echo $((number + 1)) > "$0.$list.number"
[ -e "$0.$list.$number" ] || { echo "nobody should have asked $list again" >&2; exit 9; }
. "$0.$list.$number"
"""
ENTRIES = [(0, 0, {"id": 1}), (1, 0, {"id": 2}), (1, 1, {"id": 3})]


class Broker:
    address = "nowhere:1"


class Bank:
    """As much of a bank as a reader needs."""

    broker, topic = Broker(), "transfers"

    def __init__(self, folder):
        self.folder = folder


class Reader(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sabot-e2e-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.kcat = self.folder / "kcat"
        self.kcat.write_text(KCAT)
        self.kcat.chmod(0o755)
        self.addCleanup(os.environ.update, PATH=os.environ["PATH"])
        os.environ["PATH"] = f"{self.folder}:{os.environ['PATH']}"
        self.ledger = Ledger(Bank(self.folder), "books", partitions=2)

    def answer(self, name, *scripts):
        for number, script in enumerate(scripts):
            pathlib.Path(f"{self.kcat}.{name}.{number}").write_text(script)

    @staticmethod
    def ends(first, second):
        return f"echo 'books [0] offset {first}'; echo 'books [1] offset {second}'"

    @staticmethod
    def seen(entries, first, second):
        lines = "".join(f"echo '{partition} {offset} {json.dumps(entry)}'\n" for partition, offset, entry in entries)
        return lines + (f"echo '% Reached end of topic books [0] at offset {first}' >&2\n"
                        f"echo '% Reached end of topic books [1] at offset {second}: exiting' >&2\n")

    def test_a_transaction_that_becomes_visible_while_the_broker_does_not_answer_is_waited_for(self):
        away = "echo '% ERROR: offsets_for_times failed: All broker connections are down' >&2; exit 1"
        self.answer("read", self.seen(ENTRIES[:1], 2, 0), self.seen(ENTRIES[:1], 2, 0), self.seen(ENTRIES, 2, 3))
        self.answer("ends", away, self.ends(2, 3), self.ends(2, 3))
        self.assertEqual(self.ledger.entries(), ENTRIES)

    def test_a_reader_that_is_told_of_no_end_has_not_read_the_topic(self):
        self.answer("read", "echo '% ERROR: all brokers down' >&2; exit 1",
                    self.seen(ENTRIES[:1], 2, 3).splitlines()[0], self.seen(ENTRIES, 2, 3))
        self.answer("ends", self.ends(2, 3))
        self.assertEqual(self.ledger.entries(), ENTRIES)

    def test_a_partition_whose_end_is_not_told_is_no_end(self):
        self.answer("ends", "echo 'books [0] offset 2'; echo 'books [1] offset -1: Broker: Leader not available'",
                    "echo 'books [0] offset 2'", self.ends(2, 3))
        self.assertEqual([self.ledger.ends() for _ in range(3)], [[], [], [2, 3]])


if __name__ == "__main__":
    unittest.main()
