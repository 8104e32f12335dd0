#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""run.py NAME: the tests of the simulator, each one ctest (sim.NAME).

    long    10,000 seeds without a violation (SABOT_SIM_SEEDS: another range); the reach is left in sim.reach
    twice   100 seeds have the same hashes in another process, at other addresses, with other bytes in fresh memory
    seeds   the seeds that have failed once (test/sim/seeds)
"""
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("SABOT_BUILD_DIR", "build"))
SIM = BUILD / "sabot-sim"
JOBS = str(min(os.cpu_count() or 1, 8))


def run(*arguments, env=None, quiet=True):
    return subprocess.run([str(SIM), *arguments], stdout=subprocess.PIPE, text=True, check=False,
                          stderr=subprocess.DEVNULL if quiet else None, env=env)


def test_long():
    seeds = os.environ.get("SABOT_SIM_SEEDS", "1..10000")
    began = time.monotonic()
    done = run("--seed", seeds, "--jobs", JOBS, "--reach", quiet=False)
    print(done.stdout)
    print(f"{seeds} in {time.monotonic() - began:.0f} s with {JOBS} jobs (budget: 10,000 in 120 s on 2 cores)")
    (BUILD / "sim.reach").write_text(done.stdout)
    return done.returncode


def hashes(**more):
    env = dict(os.environ, **more)
    done = run("--seed", "1..100", "--verbose", "--jobs", JOBS, env=env)
    if done.returncode:
        sys.exit(f"failed: {done.stdout}")
    return sorted(line for line in done.stdout.splitlines() if line.startswith("seed "))


def test_twice():
    first = hashes()
    again = hashes(MALLOC_PERTURB_="165", MALLOC_ARENA_MAX="1", MALLOC_MMAP_THRESHOLD_="4096")
    for one, other in zip(first, again):
        if one != other:
            print(f"{one}, then {other}")
    print(f"{len(first)} seeds, {sum(a == b for a, b in zip(first, again))} equal")
    return 0 if len(first) == 100 and first == again else 1


def test_seeds():
    status = 0
    for line in (HERE / "seeds" / "ledger.txt").read_text().splitlines():
        words = line.split("#")[0].split()
        if not words:
            continue
        for faults in {words[1], "all"}:
            done = run("--seed", words[0], "--faults", faults, quiet=False)
            print(f"{line}: {'FAILED' if done.returncode else 'ok'}")
            status |= done.returncode
    return status


if __name__ == "__main__":
    sys.exit({"long": test_long, "twice": test_twice, "seeds": test_seeds}[sys.argv[1]]())
