#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each labelled point at which a process may be killed is named by a test that kills one there."""
import pathlib
import re
import unittest

from _command import SOURCE

KINDS = "ckpt|txn|restore|sink|source|task"


def labels():
    """Of the source: in calls, and in the table of commit.c."""
    found = set()
    for path in (pathlib.Path(SOURCE) / "src").rglob("*.c"):
        if "sb_crash_point(" in path.read_text():
            found |= set(re.findall(rf'"((?:{KINDS})\.[a-z_]+)"', path.read_text()))
    return found


def named():
    paths = [path for pattern in ("*.py", "*.c") for path in (pathlib.Path(SOURCE) / "test").rglob(pattern)]
    return {label for path in paths for label in re.findall(rf"\b(?:{KINDS})\.[a-z_]+", path.read_text())}


class CrashPoints(unittest.TestCase):
    def test_each_has_a_test_that_kills_there(self):
        self.assertGreaterEqual(len(labels()), 40)
        self.assertEqual(sorted(labels() - named()), [])


if __name__ == "__main__":
    unittest.main()
