#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The fraud job on Kafka beside programs that do nothing but use librdkafka, by turns, on the same topics.

    build/bench/kafka                          starts a broker and runs this
    SABOT_TEST_BROKER=host:port bench/kafka.py [PROGRAM]

Throughput: `sabot worker --until-end` against a consumer that only counts, without a state directory and exactly-once
with a checkpoint each second; and against the same consumer with the allocator that `sabot` is linked with: not how a
consumer comes, but it shows what is Sabot's own. Delay: from when a transaction was due to its alert as a reader of
committed records sees it, at 400 a second: against a forwarder from topic to topic, and exactly-once with a checkpoint
each 10 and each 100 ms against a forwarder that stages and makes transactions as short and as often. Each pair runs in
turn; medians of their ratios. Variables: ROUNDS (5), RECORDS (6000000), RATE (400), SECONDS (10), PARTS
(throughput,exactly,delay,staged).
"""
import json
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("SABOT_BUILD_DIR", ROOT / "build"))
BARE = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else BUILD / "bench/kafka").resolve()
BROKER = os.environ["SABOT_TEST_BROKER"]
ROUNDS, RECORDS, RATE, SECONDS = (int(os.environ.get(name, default)) for name, default in (
    ("ROUNDS", 5), ("RECORDS", 6_000_000), ("RATE", 400), ("SECONDS", 10)))
THREADS = os.environ.get("THREADS", "1")


def url(topic):
    return f"kafka://{BROKER}/{topic}?partitions=3"


def run(*command, preload=""):
    """The JSON a command prints, and the processor time it took."""
    environment = {**os.environ, "LD_PRELOAD": preload} if preload else None
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen([str(word) for word in command], stdout=out, stderr=err, env=environment)
        _, code, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(code)
        if process.returncode != 0:
            err.seek(0)
            sys.exit(f"bench kafka: {command[0]} ended with {process.returncode}: {err.read().decode()}")
        out.seek(0)
        return json.load(out), usage.ru_utime + usage.ru_stime


def allocator():
    """That of the command; "": the C library's."""
    done = subprocess.run(["ldd", BUILD / "sabot"], capture_output=True, text=True, check=True)
    found = re.search(r"libjemalloc\S* => (\S+)", done.stdout)
    return found.group(1) if found else ""


def worker(source, to, *options):
    return [BUILD / "sabot", "-A", f"{BUILD}/fraud.so:app", "worker", "-l", "error", "-c", THREADS, "--json", "--bind",
            f"bank-transactions={url(source)}", "--bind", f"fraud-alerts={url(to)}", *options]


def exactly_once(folder, interval_ms):
    """Options of a worker with a new state directory, for whom the offsets of an earlier one mean nothing."""
    return "--state-dir", tempfile.mkdtemp(dir=folder), "--reset", "-O", f"checkpoint.interval_ms={interval_ms}"


def fill():
    subprocess.run([BUILD / "sabot-bank", "--count", str(RECORDS), "--to", url("bench-transactions")], check=True,
                   stderr=subprocess.DEVNULL)
    run(BARE, "count", BROKER, "bench-transactions")  # both read from memory then


def warm_up(folder):
    """The first transaction of a broker makes it create its log of transactions, and takes half a second longer."""
    run(*worker("bench-transactions", "bench-warm-up", *exactly_once(folder, 1000)), "--until-end")


def throughput(name, options):
    ratios, equals, costs, preload = [], [], [], allocator()
    print(f"{RECORDS:,} transactions in 3 partitions, {THREADS} thread(s), {name}")
    print(f"  M records/s; =: the bare consumer with {pathlib.Path(preload).name or 'the same allocator'}")
    print("                                             processor s per million     peak MiB")
    print("     bare   bare=    Sabot   ratio  ratio=      bare    Sabot      +     Sabot")
    for turn in range(ROUNDS):
        bare, bare_s = run(BARE, "count", BROKER, "bench-transactions")
        job, job_s = run(*worker("bench-transactions", f"bench-{name}-{turn}", *options()), "--until-end")
        equal, _ = run(BARE, "count", BROKER, "bench-transactions", preload=preload)
        assert bare["records"] == RECORDS and job["records_processed"] == RECORDS, (bare, job)
        rate, rates = RECORDS / job["run_us"], [RECORDS / each["seconds"] / 1e6 for each in (bare, equal)]
        ratios.append(rate / rates[0])
        equals.append(rate / rates[1])
        costs.append((job_s - bare_s) / RECORDS * 1e6)
        print(f"  {rates[0]:7.2f} {rates[1]:7.2f} {rate:8.2f} {ratios[-1]:7.2f} {equals[-1]:7.2f}"
              f" {bare_s / RECORDS * 1e6:9.2f} {job_s / RECORDS * 1e6:8.2f} {costs[-1]:+6.2f}"
              f" {job['peak_memory_bytes'] >> 20:9d}", flush=True)
    print(f"  median ratio {statistics.median(ratios):.2f} (goal: 0.80), of equal allocators"
          f" {statistics.median(equals):.2f}; processor {statistics.median(costs):+.2f} s per million (goal: +0.35)",
          flush=True)


def delays(name, command):
    """One run of a forwarder or a worker between two new topics."""
    source, to = f"bench-from-{os.getpid()}-{name}", f"bench-to-{os.getpid()}-{name}"
    for topic in (source, to):  # made by whoever opens it first; the bare programs can't
        subprocess.run([BUILD / "sabot", "-A", f"{BUILD}/fraud.so:app", "tap", "fraud-alerts", "-l", "error", "--bind",
                        f"fraud-alerts={url(topic)}", "--until-end"], check=True, stdout=subprocess.DEVNULL)
    process = subprocess.Popen([str(word) for word in command(source, to)], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    try:
        return run(BARE, "delays", BROKER, source, to, RATE, RATE * SECONDS)[0]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def delay(name, bare_command, command, goal):
    ratios = {"p50_ms": [], "p99_ms": []}
    print(f"delay at {RATE} transactions/s over {SECONDS} s, {name}, ms")
    print("           bare p50     p99   Sabot p50     p99    ratio p50     p99")
    for turn in range(ROUNDS):
        bare = delays(f"{name}-bare-{turn}".replace(" ", "-"), bare_command)
        job = delays(f"{name}-sabot-{turn}".replace(" ", "-"), command)
        for key, values in ratios.items():
            values.append(job[key] / bare[key])
        print(f"          {bare['p50_ms']:9.2f} {bare['p99_ms']:7.2f} {job['p50_ms']:11.2f} {job['p99_ms']:7.2f}"
              f" {ratios['p50_ms'][-1]:12.2f} {ratios['p99_ms'][-1]:7.2f}")
    p50, p99 = (statistics.median(values) for values in ratios.values())
    print(f"  median ratios p50 {p50:.2f}, p99 {p99:.2f} (goal: {goal})", flush=True)


def main():
    parts = os.environ.get("PARTS", "throughput,exactly,delay,staged").split(",")
    print(f"load of the machine before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    with tempfile.TemporaryDirectory(prefix="sabot-bench-") as folder:
        if "throughput" in parts or "exactly" in parts:
            fill()
        if "throughput" in parts:
            throughput("plain", lambda: ())
        if "exactly" in parts:
            warm_up(folder)
            throughput("exactly-once", lambda: exactly_once(folder, 1000))
        if "delay" in parts:
            delay("plain", lambda source, to: [BARE, "forward", BROKER, source, to], worker, "1.50")
        for interval_ms in (10, 100) if "staged" in parts else ():
            delay(f"every {interval_ms} ms",
                  lambda source, to, ms=interval_ms: [BARE, "staged", BROKER, source, to, ms],
                  lambda source, to, ms=interval_ms: worker(source, to, *exactly_once(folder, ms)), "1.30")


if __name__ == "__main__":
    main()
