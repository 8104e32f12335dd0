#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""run.py NAME: the tests of the simulator, each one ctest (sim.NAME).

    long    10,000 seeds without a violation (SABOT_SIM_SEEDS: another range); the reach is left in sim.reach, and
            must be what reach.py says
    few     200 seeds, 3,000 with SABOT_LONG=1, without a violation: in builds with sanitizers
    twice   100 seeds have the same hashes in another process, at other addresses, with other bytes in fresh memory
    seeds   the seeds that have failed once (test/sim/seeds)
    mutants each planted bug (base/mutant.h) is caught, by the seed written down for it or another of 10,000
    record  find such seeds anew, and write them down (not a test)
    further seeds up to 1,000,000, from where it has stopped (not a test: make sim-long)
    page    write the counts of the last sim.long into docs/how-it-is-tested.md (not a test)
"""
import os
import pathlib
import re
import subprocess
import sys
import time

import reach

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("SABOT_BUILD_DIR", "build")).resolve()
SIM = BUILD / "sabot-sim"
MUTANTS = BUILD / "sabot-sim-mutants"
COUNTED = BUILD / "sabot-sim-reach"
JOBS = str(min(os.cpu_count() or 1, 8))


def run(*arguments, env=None, quiet=True, program=SIM):
    return subprocess.run([str(program), *arguments], stdout=subprocess.PIPE, text=True, check=False,
                          stderr=subprocess.DEVNULL if quiet else None, env=env)


def test_long():
    seeds = os.environ.get("SABOT_SIM_SEEDS", "1..10000")
    program = COUNTED if COUNTED.exists() else SIM
    reach.forget(BUILD)
    began = time.monotonic()
    done = run("--seed", seeds, "--jobs", JOBS, "--reach", quiet=False, program=program)
    print(done.stdout)
    print(f"{seeds} in {time.monotonic() - began:.0f} s with {JOBS} jobs (budget: 10,000 in 120 s on 2 cores)")
    (BUILD / "sim.reach").write_text(done.stdout)
    return done.returncode or reach.check(BUILD, done.stdout)


def test_few():
    done = run("--seed", "1..3000" if os.environ.get("SABOT_LONG") else "1..200", "--jobs", JOBS, quiet=False)
    print(done.stdout)
    return done.returncode


def further():
    """Go on behind the 10,000 of make check, to a million, from where the last call has stopped (build/sim.next)."""
    mark = BUILD / "sim.next"
    first = int(mark.read_text()) if mark.exists() else 10001
    while first <= 1_000_000:
        last = min(first + 4999, 1_000_000)
        done = run("--seed", f"{first}..{last}", "--jobs", JOBS, quiet=False)
        if done.returncode:
            print(f"stopped in {first}..{last}: mend it, keep the seed, go on")
            return 1
        first = last + 1
        mark.write_text(str(first))
        print(f"{last:,} seeds without a violation", flush=True)
    return 0


def hashes(**more):
    env = dict(os.environ, **more)
    done = run("--seed", "1..100", "--verbose", "--jobs", JOBS, env=env)
    if done.returncode:
        sys.exit(f"failed: {done.stdout}")
    return sorted(line for line in done.stdout.splitlines() if line.startswith("seed "))


def facts():
    """What the page says, by the last sim.long and by what the source holds."""
    root = HERE.parent.parent
    words = [line.split() for line in (BUILD / "sim.reach").read_text().splitlines() if line]
    single = {line[0]: int(line[1]) for line in words if len(line) == 2 and line[1].isdigit()}
    faults = {line[1]: int(line[2]) for line in words if line[0] == "fault"}
    hits = [line for line in words if line[0] == "label"]
    listed = subprocess.run(["ctest", "--test-dir", str(BUILD), "-N"], stdout=subprocess.PIPE, text=True,
                            check=False).stdout
    cases = sum(path.read_text().count("cmocka_unit_test") for path in root.glob("test/*/test_*.c"))
    yield "seeds of the last `make check`, without a violation", single["seeds"]
    yield "seeds run in all, by `make sim-long`", int((BUILD / "sim.next").read_text()) - 1
    yield "processes started in them", single["starts"]
    yield "records committed and checked", single["records"]
    yield "hours of virtual time", round(single["virtual_seconds"] / 3600)
    for name, count in faults.items():
        yield f"fault `{name}`", count
    yield "labels where a process may be left, that were reached", len(hits)
    yield "times a process was killed at one of them", sum(int(line[4]) for line in hits)
    yield "times a process was frozen at one of them", sum(int(line[6]) for line in hits)
    yield "planted bugs", len(mutants())
    yield "planted bugs with a seed that catches them", sum(1 for seeds in recorded().values() if seeds)
    yield "seeds that have failed once, kept", sum(
        1 for line in (HERE / "seeds" / "ledger.txt").read_text().splitlines() if line and line[0] != "#")
    yield "ctests", int(re.search(r"Total Tests: (\d+)", listed).group(1))
    yield "cases in the C tests", cases
    yield "fuzz targets", len(list(root.glob("test/fuzz/fuzz_*.c")))
    yield "inputs in their corpora", sum(1 for path in root.glob("test/fuzz/corpus/*/*") if path.is_file())
    campaigns = [line.split() for line in (root / "test" / "fuzz" / "campaigns.txt").read_text().splitlines()
                 if line and line[0] != "#"]
    yield "targets with a campaign of ten minutes that found nothing", len({line[0] for line in campaigns})
    yield "minutes of CPU in such campaigns", sum(int(line[1]) for line in campaigns) // 60
    yield "inputs tried in them", sum(int(line[2]) for line in campaigns)


def page():
    path = HERE.parent.parent / "docs" / "how-it-is-tested.md"
    table = "".join(f"| {what} | {count:,} |\n" for what, count in facts())
    head = "| what | count |\n|---|---:|\n"
    text = re.sub(r"(?s)(<!-- counts -->\n).*?(<!-- end -->)", lambda match: match[1] + head + table + match[2],
                  path.read_text())
    path.write_text(text)
    return 0


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


def mutants():
    """Number and text of each."""
    done = subprocess.run([str(MUTANTS)], stdout=subprocess.PIPE, text=True, check=False)
    return [line.split(" ", 1) for line in done.stdout.splitlines()]


def fails(mutant, seeds):
    """The first seed that fails, as text, or None."""
    env = dict(os.environ, SABOT_MUTANT=mutant)
    done = subprocess.run([str(MUTANTS), "--seed", seeds, "--plain", "--jobs", JOBS], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, check=False, env=env)
    found = re.search(r"^seed (\d+): ", done.stderr, flags=re.M)
    return found.group(1) if found and done.returncode else None


def recorded():
    lines = [line.split("#")[0].split() for line in (HERE / "seeds" / "mutants.txt").read_text().splitlines()]
    return {words[0]: words[1:] for words in lines if words}


def test_mutants():
    """The seeds that are written down come first; an engine that has changed may need others."""
    seeds, missed = recorded(), 0
    for number, text in mutants():
        name = text.split(":")[0]
        caught = next((seed for seed in seeds.get(name, []) if fails(number, seed) == seed), None)
        moved = caught is None
        caught = caught or fails(number, "1..10000")
        missed += caught is None
        verdict = "MISSED" if caught is None else "caught"
        print(f"{verdict} by seed {caught}{', not written down' if moved else ''}: {text}", flush=True)
    print(f"{len(mutants())} planted bugs, {missed} missed")
    return 1 if missed else 0


def record():
    """The first seed of 10,000 that catches each; `record NAME...`: only these."""
    seeds = recorded()
    for number, text in mutants():
        name = text.split(":")[0]
        if len(sys.argv) > 2 and name not in sys.argv[2:]:
            continue
        first = fails(number, "1..10000")
        seeds[name] = [first] if first else []
        print(name, *seeds[name], flush=True)
    head = "# Planted bugs (src/base/mutant.h), and the first seed of 1..10000 that catches each: run.py record.\n"
    rows = [" ".join([text.split(":")[0], *seeds.get(text.split(":")[0], [])]) + "\n" for _, text in mutants()]
    (HERE / "seeds" / "mutants.txt").write_text(head + "".join(rows))
    return 0


if __name__ == "__main__":
    sys.exit({"long": test_long, "few": test_few, "twice": test_twice, "seeds": test_seeds, "mutants": test_mutants,
              "record": record, "page": page, "further": further}[sys.argv[1]]())
