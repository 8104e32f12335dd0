#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""run_tests.py BUILD [ctest option...]: run ctest and end with the line "N passed, N failed[, N skipped]".

Processes that a test leaves behind are found, ended, and count as a failure.
"""
import ctypes
import os
import pathlib
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
PR_SET_CHILD_SUBREAPER = 36


class Counts:
    def __init__(self, passed=0, failed=0, skipped=0):
        self.passed, self.failed, self.skipped = passed, failed, skipped

    def __add__(self, other):
        return Counts(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self):
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


def children():
    """Processes whose parent we are: ctest's orphans too, for we are their subreaper."""
    found = []
    for task in pathlib.Path("/proc/self/task").iterdir():
        found += [int(word) for word in (task / "children").read_text().split()]
    return found


def end_leftovers():
    """End what is left, and tell it. A process that is just ending is no leftover."""
    count = 0
    for pid in children():
        try:
            command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = re.sub(r".*\)", "", pathlib.Path(f"/proc/{pid}/stat").read_text()).split()[0]
            if state != "Z":
                os.kill(pid, signal.SIGKILL)
                print(f"left behind by a test: {pid} {command}")
                count += 1
            os.waitpid(pid, 0)
        except (OSError, ProcessLookupError):
            pass
    return count


def read_results(path):
    counts = Counts()
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        skipped = case.find("skipped")
        if case.get("status") == "run":
            # Starting and stopping the broker are no tests, unless they fail.
            counts.passed += not case.get("name").startswith("kafka.broker_")
        elif skipped is not None and skipped.get("message", "").startswith("SKIP_RETURN_CODE"):
            counts.skipped += 1
            print(f"skipped: {case.get('name')}")
        else:
            counts.failed += 1
    return counts


def run_tests(build, options):
    """Run ctest. Returns the counts; a run without a result is one failure."""
    build = (ROOT / build).resolve()
    results = build / "test-results.xml"
    results.unlink(missing_ok=True)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    command = ["ctest", "--test-dir", str(build), "-j", str(os.cpu_count()), "--output-on-failure",
               "--no-tests=error", "--output-junit", str(results), *options]
    code = subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode
    counts = read_results(results) if results.is_file() else Counts()
    counts.failed += end_leftovers()
    if code != 0 and counts.failed == 0:
        counts.failed = 1
    return counts


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    counts = run_tests(sys.argv[1], sys.argv[2:])
    print(counts, flush=True)
    return 1 if counts.failed else 0


if __name__ == "__main__":
    sys.exit(main())
