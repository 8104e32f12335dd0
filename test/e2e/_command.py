# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: the built command, a folder for each test, and an app compiled as a user would.

Nothing here sleeps: a test reads what the command says and goes on when it has said it. What hangs is ended by an
alarm, and is a failure.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest

SABOT = os.path.abspath(os.environ.get("SABOT", "build/sabot"))
SOURCE = pathlib.Path(os.environ.get("SABOT_SOURCE_DIR", ".")).absolute()
PATIENCE_S = 120
# Files of tests lie in memory, where a sync costs nothing, if there is room; None: where the system says.
ROOM = 1 << 30
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) and shutil.disk_usage("/dev/shm").free > ROOM else None
VARIABLES = ("SABOT_APP", "SABOT_BROKER", "SABOT_LOGLEVEL", "SABOT_STATE_DIR", "SABOT_CONFIG")


def clean_environment():
    """Without what the caller has set for Sabot."""
    return {name: value for name, value in os.environ.items() if name not in VARIABLES}


def compile_app(folder, source="test/e2e/_echo.c", name="echo.so"):
    """The path of the shared object."""
    app = pathlib.Path(folder) / name
    flags = ["-std=c17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-shared", "-fPIC"]
    subprocess.run([os.environ.get("CC", "cc"), *flags, f"-I{SOURCE}/include", "-o", str(app), str(SOURCE / source)],
                   check=True)
    return app


class Done:
    """What a command has left behind."""

    def __init__(self, code, out, err):
        self.code = code
        self.out = out.decode("utf-8", "backslashreplace")
        self.err = err.decode("utf-8", "backslashreplace")

    @property
    def error(self):
        """The line that says why it failed."""
        lines = [line for line in self.err.splitlines() if line.startswith("sabot: ")]
        return lines[-1] if lines else ""

    @property
    def summary(self):
        return json.loads(self.out)


class CommandTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.apps = pathlib.Path(tempfile.mkdtemp(prefix="sabot-e2e-"))
        cls.addClassCleanup(shutil.rmtree, cls.apps)
        cls.app = f"{compile_app(cls.apps)}:app"

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sabot-e2e-", dir=MEMORY))
        self.addCleanup(shutil.rmtree, self.folder)
        signal.signal(signal.SIGALRM, self.lose_patience)
        signal.alarm(PATIENCE_S)
        self.addCleanup(signal.alarm, 0)

    def lose_patience(self, *_):
        self.fail(f"nothing happened for {PATIENCE_S} s")

    # --- Files --------------------------------------------------------------------------------------

    def write(self, name, text, mode="wb"):
        with open(self.folder / name, mode) as file:
            file.write(text if isinstance(text, bytes) else text.encode())

    def read(self, name):
        return (self.folder / name).read_text()

    def ids(self, name):
        """Of the records in a file, in order."""
        return [json.loads(line)["id"] for line in self.read(name).splitlines()]

    # --- Commands -----------------------------------------------------------------------------------

    def start(self, *arguments, variables=None, **pipes):
        environment = {**clean_environment(), **(variables or {})}
        process = subprocess.Popen([SABOT, *map(str, arguments)], cwd=self.folder, env=environment, **pipes)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()

    def sabot(self, *arguments, stdin=b"", variables=None, stdout=subprocess.PIPE):
        """Run a command to its end."""
        process = self.start(*arguments, variables=variables, stdin=subprocess.PIPE, stdout=stdout,
                             stderr=subprocess.PIPE)
        out, err = process.communicate(stdin)
        return Done(process.returncode, out or b"", err)

    def echo_command(self, source="file:in.jsonl", to="file:out.jsonl"):
        return ["-A", self.app, "worker", "--bind", f"in={source}", "--bind", f"out={to}"]

    def echo(self, *arguments, source="file:in.jsonl", to="file:out.jsonl", **more):
        """Run the app on files."""
        return self.sabot(*self.echo_command(source, to), *arguments, **more)

    def start_echo(self, *arguments, source="file:in.jsonl", to="file:out.jsonl", **pipes):
        return self.start(*self.echo_command(source, to), *arguments, **pipes)

    def read_until(self, pipe, text):
        """Lines up to the one that has `text` in it."""
        for line in pipe:
            if text in line.decode("utf-8", "backslashreplace"):
                return line.decode("utf-8", "backslashreplace")
        self.fail(f"\"{text}\" was never said")

    def wait_until(self, process, condition):
        """Of a process that goes on."""
        while not condition():
            try:
                process.wait(0.005)
                self.fail(f"it has ended with {process.returncode}")
            except subprocess.TimeoutExpired:
                pass

    # --- What must hold -----------------------------------------------------------------------------

    def assert_code(self, done, code):
        self.assertEqual(done.code, code, done.err)

    def assert_not_started(self, done, *parts):
        """One clear line, nothing on stdout, exit 2."""
        self.assert_code(done, 2)
        self.assertEqual(done.out, "")
        self.assert_in(parts, done.error)
        self.assertEqual(done.err.splitlines()[-1], done.error)

    def assert_in(self, parts, text):
        for part in parts:
            self.assertIn(part, text)
