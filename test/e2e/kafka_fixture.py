#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The broker of the tests does what fault tests rely on: it serves, keeps topics over a kill, leaves nothing behind."""
import os
import pathlib
import select
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "kafka"))
import broker as kafka  # noqa: E402


def check(truth, text):
    if not truth:
        sys.exit(f"FAILED: {text}")


def topics(address):
    done = subprocess.run(["kcat", "-b", address, "-L", "-m", "10"], capture_output=True, text=True, timeout=60,
                          check=True)
    return done.stdout


host, port = os.environ["SABOT_TEST_BROKER"].split(":")
check(kafka.serves(int(port)), "the broker of the run serves")

with kafka.Broker(properties=kafka.FAST_RESTART) as own:
    own.create_topic("kept", partitions=3)
    check('"kept" with 3 partitions' in topics(own.address), "the topic is there")
    own.kill()
    check(not kafka.serves(own.port), "a killed broker does not serve")
    own.restart()
    check('"kept" with 3 partitions' in topics(own.address), "the topic is there after a kill and a restart")
    own.pause()
    check(not kafka.serves(own.port, seconds=0.2), "a paused broker does not answer")
    own.resume()
    check('"kept"' in topics(own.address), "a resumed broker answers")
    home = own.home
check(not home.exists(), "its folder is gone")

# The starter is killed: its broker ends, and its folder goes.
orphan = ("import sys; sys.path.insert(0, sys.argv[1]); import broker, os; b = broker.Broker().start();"
          "print(b.keeper.pid, b.pid, b.home, flush=True); os.kill(os.getpid(), 9)")
done = subprocess.run([sys.executable, "-c", orphan, os.path.dirname(kafka.__file__)], stdout=subprocess.PIPE,
                      text=True, check=False)
keeper, pid, home = done.stdout.split()
for process in (keeper, pid):
    try:
        select.select([os.pidfd_open(int(process))], [], [])  # ctest's timeout is the limit
    except ProcessLookupError:
        pass
check(not pathlib.Path(home).exists(), "the folder of an orphaned broker is gone")
print("ok")
