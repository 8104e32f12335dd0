#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs on files from their start to their end: what is read, kept and emptied, and how a run is started and stopped."""
import collections
import itertools
import json
import os
import shutil
import signal
import subprocess
import unittest

from _command import SABOT, CommandTest


def record(i, key="a"):
    return b'{"id":%d,"key":"%s"}\n' % (i, key.encode())


def records(count, keys=1):
    return b"".join(record(i, f"k{i % keys}") for i in range(count))


class Runs(CommandTest):
    def test_the_output_does_not_depend_on_the_number_of_threads(self):
        self.write("in.jsonl", records(20000, keys=101))
        outputs = []
        for threads in (1, 2, 4, 7):
            done = self.echo("--json", "-c", threads)
            self.assert_code(done, 0)
            self.assertEqual(done.summary["outputs"], {"out": 20000})
            lines = self.read("out.jsonl").splitlines()
            # Each key in its order, with a state that nobody else has touched.
            seen = collections.Counter()
            for line in map(json.loads, lines):
                self.assertEqual(line["id"], seen[line["key"]] * 101 + int(line["key"][1:]))
                seen[line["key"]] += 1
                self.assertEqual(line["seen"], seen[line["key"]])
            outputs.append(sorted(lines))
        for output in outputs[1:]:
            self.assertEqual(output, outputs[0])

    def test_small_and_large_batches_give_the_same(self):
        self.write("in.jsonl", records(3000, keys=11))
        self.assert_code(self.echo(to="file:whole.jsonl"), 0)
        for rows, size in ((1, "64KiB"), (7, "64KiB"), (65536, "64MiB")):
            sizes = ["-O", f"channel.buffer_bytes={size}", "-O", f"ring.bytes={size}"]
            done = self.echo("-O", f"batch.rows={rows}", *sizes, "-c", 2)
            self.assert_code(done, 0)
            self.assertEqual(sorted(self.read("out.jsonl").splitlines()), sorted(self.read("whole.jsonl").splitlines()))

    def test_a_run_begins_its_output_anew(self):
        self.write("out.jsonl", b"old\n")
        for count in (5, 2):
            self.write("in.jsonl", records(count))
            self.assert_code(self.echo(), 0)
            self.assertEqual(self.ids("out.jsonl"), list(range(count)))

    def test_a_start_that_is_refused_leaves_the_output_as_it_was(self):
        self.write("out.jsonl", b"old\n")
        self.assert_not_started(self.echo(source="file:none.jsonl"), "none.jsonl")
        self.assertEqual(self.read("out.jsonl"), "old\n")
        self.write("in.jsonl", records(1))
        self.assert_not_started(self.echo("-O", "echo.nothing=1"), "echo.nothing")
        self.assertEqual(self.read("out.jsonl"), "old\n")

    def test_a_named_pipe_is_an_input_and_an_output(self):
        os.mkfifo(self.folder / "in.pipe")
        os.mkfifo(self.folder / "out.pipe")
        # Whoever writes to a named pipe needs its reader to be there.
        with open(os.open(self.folder / "out.pipe", os.O_RDONLY | os.O_NONBLOCK), "rb") as out:
            os.set_blocking(out.fileno(), True)
            with open(os.open(self.folder / "in.pipe", os.O_RDWR), "wb") as pipe:
                process = self.start_echo(source="file:in.pipe", to="file:out.pipe", stderr=subprocess.PIPE)
                self.read_until(process.stderr, "agent")
                pipe.write(records(3))
            self.assertEqual(process.wait(), 0, process.stderr.read())
            self.assertEqual([json.loads(line)["id"] for line in out], [0, 1, 2])


class Starting(CommandTest):
    def test_options_stand_before_or_behind_the_command(self):
        self.write("in.jsonl", records(3))
        words = [["worker"], ["-A", self.app], ["--bind", "in=file:in.jsonl"], ["--bind=out=file:out.jsonl"], ["-c2"]]
        for order in itertools.permutations(words):
            with self.subTest(order=order):
                self.assert_code(self.sabot(*itertools.chain(*order)), 0)
                self.assertEqual(self.ids("out.jsonl"), [0, 1, 2])

    def skips_are_logged(self, *arguments, **variables):
        done = self.echo("-O", "errors.decode=skip", *arguments, variables=variables)
        self.assert_code(done, 0)
        return "WARN" in done.err

    def test_option_beats_environment_beats_file(self):
        self.write("in.jsonl", b"x\n")
        self.write("quiet.yaml", "log.level: error\n")
        self.write("loud.yaml", "log.level: debug\n")
        self.assertTrue(self.skips_are_logged())
        self.assertFalse(self.skips_are_logged("--config", "quiet.yaml"))
        self.assertFalse(self.skips_are_logged(SABOT_CONFIG="quiet.yaml"))
        self.assertTrue(self.skips_are_logged("--config", "loud.yaml", SABOT_CONFIG="quiet.yaml"))
        self.assertTrue(self.skips_are_logged("--config", "quiet.yaml", SABOT_LOGLEVEL="warn"))
        self.assertFalse(self.skips_are_logged("--config", "loud.yaml", SABOT_LOGLEVEL="error"))
        self.assertFalse(self.skips_are_logged("-l", "error", SABOT_LOGLEVEL="debug"))
        self.assertTrue(self.skips_are_logged("-l", "warn", "--config", "quiet.yaml", SABOT_LOGLEVEL="error"))
        self.assertFalse(self.skips_are_logged("-O", "log.level=error", SABOT_LOGLEVEL="debug"))
        self.assertTrue(self.skips_are_logged(SABOT_LOGLEVEL=""))

    def test_the_app_too_is_an_option(self):
        self.write("in.jsonl", records(1))
        binds = ["worker", "--bind", "in=file:in.jsonl", "--bind", "out=file:out.jsonl"]
        self.write("app.yaml", f"app: {self.app}\n")
        self.write("none.yaml", "app: none.so:app\n")
        self.assert_code(self.sabot(*binds, "--config", "app.yaml"), 0)
        self.assert_code(self.sabot(*binds, "--config", "none.yaml", variables={"SABOT_APP": self.app}), 0)
        self.assert_code(self.sabot(*binds, "-A", self.app, variables={"SABOT_APP": "none.so:app"}), 0)
        self.assert_not_started(self.sabot(*binds, variables={"SABOT_APP": "none.so:app"}), "none.so: no such file")
        self.assert_not_started(self.sabot(*binds, "-A", "none.so:app", variables={"SABOT_APP": self.app}), "none.so")
        self.assert_not_started(self.sabot(*binds), "which app?")

    def test_binds_of_the_file_are_beaten_by_options(self):
        self.write("in.jsonl", records(2))
        self.write("binds.yaml", "bind:\n  in: file:in.jsonl\n  out: file:other.jsonl\n")
        self.assert_code(self.sabot("-A", self.app, "worker", "--config", "binds.yaml", "--bind=out=file:out.jsonl"), 0)
        self.assertEqual(self.ids("out.jsonl"), [0, 1])
        self.assertFalse((self.folder / "other.jsonl").exists())

    def load(self, path, symbol="app"):
        return self.sabot(*self.echo_command(), "-A", f"{path}:{symbol}")

    def test_what_is_no_app_is_told_apart(self):
        app = self.app.rpartition(":")[0]
        with open(app, "rb") as file:
            whole = file.read()
        (self.folder / "folder.so").mkdir()
        self.write("empty.so", b"")
        self.write("text.so", b"app\n")
        self.write("cut.so", whole[:len(whole) // 2])
        self.write("head.so", whole[:64])
        self.write("bit.so", whole[:63])
        self.assert_not_started(self.load("none.so"), "none.so: no such file")
        self.assert_not_started(self.load("folder.so"), "folder.so: is a directory, not a shared object")
        self.assert_not_started(self.load("empty.so"), "empty.so: is not a shared object")
        self.assert_not_started(self.load("text.so"), "text.so: is not a shared object")
        self.assert_not_started(self.load("cut.so"), "cut.so: is cut off: ")
        self.assert_not_started(self.load("head.so"), "head.so: is cut off: ")
        self.assert_not_started(self.load("bit.so"), "bit.so: cannot be loaded: ")
        self.assert_not_started(self.load(SABOT), f"{SABOT}: cannot be loaded: ")
        self.assert_not_started(self.load(app, "nothing"), 'has no symbol "nothing"')
        self.assert_not_started(self.load(app, "not_an_app"), '"not_an_app" is not a Sabot app')
        self.assert_not_started(self.load(app, "other_version"), '"other_version" is built for version 2')
        self.assert_not_started(self.load(app, "wrong"), "channel in")

    def test_a_path_is_a_file_and_never_looked_for_elsewhere(self):
        # Neither in the folders of libraries, nor in those of LD_LIBRARY_PATH.
        self.assert_not_started(self.load("libc.so.6"), "libc.so.6: no such file")
        done = self.sabot("-A", "echo.so:app", "worker", variables={"LD_LIBRARY_PATH": str(self.apps)})
        self.assert_not_started(done, "echo.so: no such file")
        # One without a slash is in the folder where one is, even with a colon in its name.
        self.write("in.jsonl", records(1))
        for name in ("here.so", "a:b.so"):
            shutil.copy(self.app.rpartition(":")[0], self.folder / name)
            self.assert_code(self.load(name), 0)

    def test_a_mistyped_name_is_answered_with_the_nearest(self):
        self.write("in.jsonl", records(1))
        self.assert_not_started(self.sabot("-A", self.app, "wroker"), 'unknown command "wroker"', '"worker"')
        self.assert_not_started(self.echo("--thread", "2"), 'unknown option "--thread"', '"--threads"')
        self.assert_not_started(self.echo("-O", "error.decode=skip"), "error.decode", "errors.decode")
        self.assert_not_started(self.echo("-O", "errors.decode=skp"), "errors.decode", "fail", "skip")
        self.assert_not_started(self.echo("-O", "echo.fial=3"), "echo.fial", "echo.fail")
        self.assert_not_started(self.echo("--bind", "inn=file:x"), "inn")
        self.assert_not_started(self.echo(source="file:in.jsonl?folow=true"), "folow", "follow")
        self.assert_not_started(self.echo(source="flie:in.jsonl"), "flie", "file", "kafka", "memory")


class Following(CommandTest):
    def follow(self, *arguments, **pipes):
        process = self.start_echo(*arguments, source="file:in.jsonl?follow=true", to="file:-", stdout=subprocess.PIPE,
                                  **pipes)
        return process, lambda: json.loads(process.stdout.readline())["id"]

    def test_a_followed_file_is_read_as_it_grows(self):
        self.write("in.jsonl", records(2))
        process, next_id = self.follow(stderr=subprocess.DEVNULL)
        self.assertEqual([next_id(), next_id()], [0, 1])
        # A line counts when it has its end.
        self.write("in.jsonl", record(2)[:9], mode="ab")
        self.write("in.jsonl", record(2)[9:] + record(3)[:-1], mode="ab")
        self.assertEqual(next_id(), 2)
        self.write("in.jsonl", b"\n", mode="ab")
        self.assertEqual(next_id(), 3)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 0)
        self.assertEqual(process.stdout.read(), b"")

    def test_a_followed_file_that_is_cut_fails_the_run(self):
        self.write("in.jsonl", records(2))
        process, next_id = self.follow(stderr=subprocess.PIPE)
        self.assertEqual([next_id(), next_id()], [0, 1])
        os.truncate(self.folder / "in.jsonl", 5)
        err = process.stderr.read().decode()
        self.assertEqual(process.wait(), 1, err)
        self.assertIn("channel in: in.jsonl: was cut from 40 to 5 bytes while it was followed", err)

    def test_until_end_ends_where_the_file_ended(self):
        self.write("in.jsonl", records(5))
        done = self.echo("--until-end", source="file:in.jsonl?follow=true")
        self.assert_code(done, 0)
        self.assertEqual(self.ids("out.jsonl"), list(range(5)))


class Stopping(CommandTest):
    def test_a_stop_finishes_what_is_in_flight_and_flushes(self):
        for number, threads in ((signal.SIGTERM, 1), (signal.SIGINT, 2), (signal.SIGTERM, 4)):
            with self.subTest(threads=threads):
                self.write("in.jsonl", records(200000, keys=13))
                process = self.start_echo("--json", "-c", threads, source="file:in.jsonl?follow=true",
                                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                self.read_until(process.stderr, "agent")
                process.send_signal(number)
                out, err = process.communicate()
                self.assertEqual(process.returncode, 0, err)
                summary = json.loads(out)
                self.assertEqual((summary["outcome"], summary["exit"]), ("stopped", 0))
                self.assertEqual(summary["records_processed"], summary["records_read"])
                self.assertEqual(summary["records_written"], summary["records_read"])
                self.assertEqual(sorted(self.ids("out.jsonl")), list(range(summary["records_read"])))

    def test_a_stop_ends_a_worker_that_waits_for_standard_input(self):
        process = self.start_echo(source="file:-", stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        self.read_until(process.stderr, "agent")
        process.send_signal(signal.SIGTERM)
        err = process.stderr.read().decode()
        self.assertEqual(process.wait(), 0, err)
        self.assertIn("stopped: 0 records", err)

    def start_stuck(self):
        """A worker whose output is a pipe that is full, with a record on its way there."""
        os.mkfifo(self.folder / "out.pipe")
        pipe = os.open(self.folder / "out.pipe", os.O_RDWR | os.O_NONBLOCK)
        self.addCleanup(os.close, pipe)
        for size in (4096, 1):
            try:
                while True:
                    os.write(pipe, size * b"\n")
            except BlockingIOError:
                pass
        self.write("in.jsonl", records(1))
        # Whoever is ended at once joins no threads, and that is no leak.
        variables = {"TSAN_OPTIONS": os.environ.get("TSAN_OPTIONS", "") + ":report_thread_leaks=0"}
        process = self.start_echo("-O", "echo.log=true", source="file:in.jsonl?follow=true", to="file:out.pipe",
                                  stderr=subprocess.PIPE, variables=variables)
        self.read_until(process.stderr, "record 0")
        return process, pipe

    def test_the_second_signal_ends_a_worker_that_is_stuck(self):
        for first, second in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)):
            process, _ = self.start_stuck()
            process.send_signal(first)
            self.read_until(process.stderr, "stopping")
            process.send_signal(second)
            self.assertEqual(process.wait(), 128 + second, process.stderr.read().decode())
            os.remove(self.folder / "out.pipe")

    def test_a_stop_waits_for_a_slow_reader(self):
        process, pipe = self.start_stuck()
        process.send_signal(signal.SIGTERM)
        self.read_until(process.stderr, "stopping")
        os.set_blocking(pipe, True)
        text = b""
        while not text.strip():
            text = os.read(pipe, 65536)
        while not text.endswith(b"}\n"):
            text += os.read(pipe, 65536)
        self.assertEqual(json.loads(text.strip())["id"], 0)
        self.assertEqual(process.wait(), 0, process.stderr.read())


class SendAndTap(CommandTest):
    def send(self, text, channel="in", to="file:in.jsonl", *arguments):
        return self.sabot("-A", self.app, "send", channel, "--bind", f"{channel}={to}", *arguments, stdin=text)

    def tap(self, *arguments, source="file:in.jsonl", channel="in"):
        return self.sabot("-A", self.app, "tap", channel, "--bind", f"{channel}={source}", *arguments)

    def test_what_is_sent_to_a_file_is_added_to_it(self):
        for i in range(3):
            self.assert_code(self.send(record(2 * i) + b"\n" + record(2 * i + 1).strip()), 0)
        self.assertEqual(self.ids("in.jsonl"), list(range(6)))
        # A last line without its end gets one first.
        self.write("in.jsonl", record(0).strip())
        self.assert_code(self.send(record(1)), 0)
        self.assertEqual(self.ids("in.jsonl"), [0, 1])

    def test_two_may_send_to_one_file(self):
        senders = [self.start("-A", self.app, "send", "in", "--bind", "in=file:in.jsonl", stdin=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) for _ in range(2)]
        for i in range(10000):
            senders[i % 2].stdin.write(record(i))
        for sender in senders:
            sender.stdin.close()
            self.assertEqual(sender.wait(), 0)
        self.assertEqual(sorted(self.ids("in.jsonl")), list(range(10000)))

    def test_a_record_that_does_not_fit_the_channel_is_not_sent(self):
        done = self.send(record(0) + b'{"id":"one","key":"a"}\n' + record(2))
        self.assert_code(done, 1)
        self.assert_in(["line 2", "field id", "a string, but int64 is wanted"], done.err)
        self.assertEqual(self.ids("in.jsonl"), [0])

    def test_send_to_a_full_disk_fails(self):
        done = self.send(record(0), to="file:/dev/full")
        self.assert_code(done, 1)
        self.assert_in(["/dev/full: cannot write", "No space left on device"], done.err)

    def test_tap_prints_records_as_they_stand(self):
        text = b'{"id":1, "key":"a"}\n\n{"unknown":true}\r\nno JSON\n'
        self.write("in.jsonl", text)
        done = self.tap()
        self.assert_code(done, 0)
        self.assertEqual(done.out, '{"id":1, "key":"a"}\n{"unknown":true}\nno JSON\n')
        done = self.tap("--count", 2)
        self.assertEqual(done.out.count("\n"), 2)

    def test_tap_follows(self):
        self.write("in.jsonl", record(0))
        tap = self.start("-A", self.app, "tap", "in", "--bind", "in=file:in.jsonl?follow=true", "--count", "3",
                         stdout=subprocess.PIPE)
        self.assertEqual(tap.stdout.readline(), record(0))
        for i in (1, 2):
            self.assert_code(self.send(record(i)), 0)
            self.assertEqual(json.loads(tap.stdout.readline())["id"], i)
        self.assertEqual(tap.wait(), 0)

    def test_tap_ends_when_nobody_reads_it_any_more(self):
        self.write("in.jsonl", records(100000))
        tap = self.start("-A", self.app, "tap", "in", "--bind", "in=file:in.jsonl", stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
        tap.stdout.readline()
        tap.stdout.close()
        self.assertEqual((tap.wait(), tap.stderr.read()), (0, b""))

    def test_send_and_tap_stop_at_a_signal(self):
        self.write("in.jsonl", record(0))
        tap = self.start("-A", self.app, "tap", "in", "--bind", "in=file:in.jsonl?follow=true", stdout=subprocess.PIPE)
        tap.stdout.readline()
        tap.send_signal(signal.SIGTERM)
        self.assertEqual(tap.wait(), 0)


if __name__ == "__main__":
    unittest.main()
