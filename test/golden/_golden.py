# SPDX-License-Identifier: Apache-2.0
"""Golden tests: run the command, compare what it says with what stands in test/golden/<suite>/<case>.txt.

    suite = Suite("cli_help")
    suite.run("worker", ["worker", "--help"])
    sys.exit(suite.finish())

A file holds the command line, its stdout, stderr and exit code. `python3 test/golden/cli_help.py --bless` writes them
anew: look at the difference before it is committed. What differs from run to run is replaced by a word: see SHAPES.
"""
import difflib
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(os.environ.get("SABOT_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2]))
BUILD = pathlib.Path(os.environ.get("SABOT_BUILD_DIR", SOURCE / "build"))
SABOT = os.environ.get("SABOT", str(BUILD / "sabot"))

NUMBER = r"\d[\d,]*(\.\d+)?"
SHAPES = [
    (re.compile(rf"{NUMBER} (/s|k/s|M/s)"), "<rate>"),
    (re.compile(rf"{NUMBER} (us|ms|s)\b"), "<time>"),
    (re.compile(rf"{NUMBER} (MiB|GiB)\b"), "<memory>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"), "<now>"),
    (re.compile(r"\b0\.\d+\.\d+\b"), "<version>"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "<nonce>"),
    (re.compile(r"the manifest says \d+"), "the manifest says <size>"),
    (re.compile(r"\.reset-\d+"), ".reset-<when>"),
]


class Suite:
    def __init__(self, name):
        self.folder = SOURCE / "test/golden" / name
        self.bless = "--bless" in sys.argv[1:]
        self.shapes = SHAPES
        self.failed = []
        self.cases = set()
        self.temporary = tempfile.TemporaryDirectory(prefix=f"sabot_{name}_")
        self.work = pathlib.Path(self.temporary.name)
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("SABOT_")}
        self.environment |= {"LC_ALL": "C.UTF-8", "TERM": "dumb"}

    def build_app(self, source):
        """Compile test/golden/<source>.c to <source>.so in the working folder."""
        subprocess.run(["cc", "-std=c17", "-shared", "-fPIC", f"-I{SOURCE}/include", "-o", f"{source.lstrip('_')}.so",
                        SOURCE / "test/golden" / f"{source}.c"], cwd=self.work, check=True)

    def write(self, name, text):
        (self.work / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    def shape(self, text):
        text = text.replace(str(self.work), "<work>")
        for pattern, word in self.shapes:
            text = pattern.sub(word, text)
        return text

    def run(self, case, arguments, stdin="", environment=None, files=(), shape=lambda text: text):
        """Run the command in the working folder; `files` it has written are part of the result.
        `shape` makes what is compared of its stdout."""
        assert case not in self.cases, case
        self.cases.add(case)
        done = subprocess.run([SABOT, *arguments], cwd=self.work, input=stdin.encode(), capture_output=True,
                              timeout=60, check=False, env=self.environment | (environment or {}))
        set_variables = "".join(f"{key}={value} " for key, value in (environment or {}).items())
        command = shlex.join(arguments).replace(str(BUILD), "build")
        parts = [f"$ {set_variables}sabot {command}\n"]
        stderr = self.shape(done.stderr.decode(errors="backslashreplace")).splitlines(True)
        # Lines of the log come when they come.
        for name, text in (("stdout", shape(self.shape(done.stdout.decode(errors="backslashreplace")))),
                           ("stderr", "".join(line for line in stderr if not line.startswith("<now>"))),
                           ("log", "".join(sorted(line for line in stderr if line.startswith("<now>"))))):
            if text:
                parts.append(f"--- {name}\n{text}")
        for name in files:
            parts.append(f"--- {name}\n{self.shape((self.work / name).read_text(errors='backslashreplace'))}")
        parts.append(f"--- exit {done.returncode}\n")
        self.compare(case, "".join(parts))

    def compare(self, case, text):
        path = self.folder / f"{case}.txt"
        if self.bless:
            self.folder.mkdir(exist_ok=True)
            path.write_text(text)
            return
        expected = path.read_text() if path.exists() else ""
        if text != expected:
            self.failed.append(case)
            sys.stdout.writelines(difflib.unified_diff(expected.splitlines(True), text.splitlines(True),
                                                       f"{path} (expected)", f"{case} (is)"))

    def finish(self):
        stale = sorted(path.stem for path in self.folder.glob("*.txt") if path.stem not in self.cases)
        for case in stale:
            if self.bless:
                (self.folder / f"{case}.txt").unlink()
            else:
                print(f"{self.folder.name}/{case}.txt: no case has this name")
        print(f"{len(self.cases)} cases, {len(self.failed)} differ")
        return 1 if self.failed or (stale and not self.bless) else 0
