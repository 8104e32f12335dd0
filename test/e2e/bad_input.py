#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Input that is broken in every way there is: what is said about it, and what becomes of the records around it.

With errors.decode=fail, what came before in the partition is processed and flushed, and the run ends with exit 1 and
the file, line, byte, field and reason. With skip the record is counted, and the run goes on.
"""
import json
import os
import subprocess
import unittest

from _command import SABOT, CommandTest

FIRST = b'{"id":1,"key":"a"}\n'
LAST = b'{"id":3,"key":"a"}\n'
DEEP = b'{"x":' + 70 * b"[" + 70 * b"]" + b"}"

# What stands in line 2, and what the error must say beside the place.
MALFORMED = [
    (b"{", ["the record ends inside of an object"]),
    (b'{"id":2,"key":"b"', ["the record ends inside of an object"]),
    (b'{"id":2,"key":"open', ["field key", "the record ends inside of a string"]),
    (b'{"id":2,"x":[1,2', ["the record ends inside of an object or array"]),
    (b'{"id":2,"key":"b"}x', ["bytes behind the record"]),
    (b'{"id":2,"key":"b"} {"id":2,"key":"b"}', ["bytes behind the record"]),
    (b"[1]", ["a record is an object"]),
    (b'"text"', ["a record is an object"]),
    (b"1", ["a record is an object"]),
    (b"null", ["a record is an object"]),
    (b"// a comment", ["a record is an object"]),
    (b'{"id" 2}', ["field id", "a colon has to come"]),
    (b'{"id":}', ["field id", "no JSON value begins like this"]),
    (b'{"id":2,}', ["a key in quotes has to come"]),
    (b'{"id":2,,"key":"b"}', ["a key in quotes has to come"]),
    (b'{"id":2 "key":"b"}', ["a comma or } has to come"]),
    (b'{"id":2,"x":[1 2]}', ["a comma or ] has to come"]),
    (b"{id:2}", ["a key in quotes or } has to come"]),
    (b"{'id':2}", ["a key in quotes or } has to come"]),
    (b'{"id":2,/* no */"key":"b"}', ["a key in quotes has to come"]),
    (b'{"id":02,"key":"b"}', ["field id", "a number has no zeros in front"]),
    (b'{"id":+2,"key":"b"}', ["field id", "no JSON value begins like this"]),
    (b'{"id":0x2,"key":"b"}', ["a comma or } has to come"]),
    (b'{"id":2.,"key":"b"}', ["field id", "a digit has to come in a number"]),
    (b'{"amount":.5}', ["field amount", "no JSON value begins like this"]),
    (b'{"amount":1e}', ["field amount", "a digit has to come in a number"]),
    (b'{"amount":-}', ["field amount", "a digit has to come in a number"]),
    (b'{"amount":NaN}', ["field amount", "no JSON value begins like this"]),
    (b'{"amount":Infinity}', ["field amount", "no JSON value begins like this"]),
    (b'{"amount":-Infinity}', ["field amount", "a digit has to come in a number"]),
    (b'{"flag":tru}', ["field flag", "no JSON value begins like this"]),
    (b'{"flag":True}', ["field flag", "no JSON value begins like this"]),
    (b'{"x":nul}', ["no JSON value begins like this"]),
    (rb'{"key":"\x"}', ["field key", "an escape that JSON doesn't have"]),
    (rb'{"key":"\u12"}', ["field key", "without four hexadecimal digits"]),
    (rb'{"key":"\ud800"}', ["field key", "half of a surrogate pair"]),
    (rb'{"key":"\udc00x"}', ["field key", "half of a surrogate pair"]),
    (b'{"key":"a\tb"}', ["field key", "a control character in a string"]),
    (DEEP, ["objects and arrays inside of each other: 64 are allowed"]),
]
BYTES = [
    (b'\xef\xbb\xbf{"id":2,"key":"b"}', ["byte-order mark"]),
    (b'{"id":2,"key":"\xff"}', ["byte 15", "field key", "not UTF-8"]),
    (b'{"id":2,"key":"\xc0\xaf"}', ["field key", "not UTF-8"]),
    (b'{"id":2,"key":"\xed\xa0\x80"}', ["field key", "not UTF-8"]),
    (b'{"id":2,"key":"b","note":"\xe2\x82"}', ["field note", "not UTF-8"]),
    (b"\xff\xfe{\0", ["a record is an object"]),
    (b"\0", ["a record is an object"]),
    (b'{"id":2,"key":"a\0b"}', ["field key", "a control character in a string"]),
    (b'{"id":2,"key":"b"\0}', ["a comma or } has to come"]),
    (b'{"id":2,"key":"b"}\0', ["bytes behind the record"]),
]
WRONG = [
    (b"{}", ["field id", "required, but missing or null"]),
    (b'{"key":"b"}', ["field id", "required, but missing or null"]),
    (b'{"id":2}', ["field key", "required, but missing or null"]),
    (b'{"id":null,"key":"b"}', ["field id", "required, but missing or null"]),
    (b'{"id":2,"key":null}', ["field key", "required, but missing or null"]),
    (b'{"id":"2","key":"b"}', ["field id", "a string, but int64 is wanted"]),
    (b'{"id":true,"key":"b"}', ["field id", "a bool, but int64 is wanted"]),
    (b'{"id":2.5,"key":"b"}', ["field id", "a fraction or exponent is no integer"]),
    (b'{"id":9223372036854775808,"key":"b"}', ["field id", "the integer is out of range"]),
    (b'{"id":2,"key":"b","small":-2147483649}', ["field small", "the integer is out of range"]),
    (b'{"id":2,"key":2}', ["field key", "a number, but utf8 is wanted"]),
    (b'{"id":2,"key":"b","note":{}}', ["field note", "an object, but utf8 is wanted"]),
    (b'{"id":2,"key":"b","note":[]}', ["field note", "an array, but utf8 is wanted"]),
    (b'{"id":2,"key":"b","amount":"1"}', ["field amount", "a string, but float64 is wanted"]),
    (b'{"id":2,"key":"b","amount":1e999}', ["field amount", "out of the range of float64"]),
    (b'{"id":2,"key":"b","flag":1}', ["field flag", "a number, but bool is wanted"]),
    (b'{"id":2,"key":"b","time_ms":"now"}', ["field time_ms", "a string, but timestamp is wanted"]),
    (b'{"id":2,"key":"b","blob":"!"}', ["field blob", "base64"]),
    (b'{"id":2,"key":"b","card":1}', ["field card", "a number, but an object is wanted"]),
    (b'{"id":2,"key":"b","card":{"country":1}}', ["field card.country", "a number, but utf8 is wanted"]),
]


class BadRecords(CommandTest):
    def check_fail(self, bad, parts, *options):
        """The record before it is in the output, the one behind it is not."""
        self.write("in.jsonl", FIRST + bad + b"\n" + LAST)
        done = self.echo("--json", *options)
        summary = done.summary
        self.assert_code(done, 1)
        self.assert_in(["channel in: in.jsonl: line 2 (byte 19): ", *parts], done.error)
        self.assertEqual(summary["outcome"], "failed")
        self.assertEqual(f"sabot: {summary['error']['text']}", done.error)
        self.assertEqual(self.ids("out.jsonl"), [1])
        self.assertEqual((summary["records_read"], summary["records_processed"], summary["records_failed"],
                          summary["records_skipped"], summary["records_written"]), (2, 1, 1, 0, 1))

    def check_skip(self, bad, parts, *options):
        self.write("in.jsonl", FIRST + bad + b"\n" + LAST)
        done = self.echo("--json", "-O", "errors.decode=skip", *options)
        summary = done.summary
        self.assert_code(done, 0)
        self.assert_in(["WARN", "in: skipped (1 so far): in.jsonl: line 2 (byte 19): ", *parts], done.err)
        self.assertEqual((summary["outcome"], summary["error"]), ("done", None))
        self.assertEqual(self.ids("out.jsonl"), [1, 3])
        self.assertEqual((summary["records_read"], summary["records_processed"], summary["records_failed"],
                          summary["records_skipped"], summary["records_written"]), (3, 2, 0, 1, 2))

    def check(self, bad, parts):
        # Both with the work on one thread, and handed to others.
        self.check_fail(bad, parts, "-c", "1")
        self.check_skip(bad, parts, "-c", "2")

    def check_table(self, table):
        for bad, parts in table:
            with self.subTest(bad=bad[:64]):
                self.check(bad, parts)

    def test_malformed_json_is_named_by_line_byte_and_reason(self):
        self.check_table(MALFORMED)

    def test_bytes_that_are_no_text_are_refused(self):
        self.check_table(BYTES)

    def test_wrong_types_and_missing_fields_are_named_by_field(self):
        self.check_table(WRONG)

    def test_what_is_refused_is_quoted_without_its_control_characters(self):
        self.write("in.jsonl", b'\x1b[31m{"id":1}\x07\n')
        done = self.echo()
        self.assert_code(done, 1)
        self.assertIn(r"near \x1b[31m", done.error)
        self.assertNotIn("\x1b", done.err)

    def test_ten_megabytes_in_one_line_are_passed_over_in_little_memory(self):
        huge = b'{"id":2,"key":"b","note":"' + 10 * 1024 * 1024 * b"x" + b'"}'
        parts = ["record of 10485788 bytes is longer than the limit of 1048576 (record.bytes_max)"]
        self.check(huge, parts)
        # One that fits is taken.
        self.write("in.jsonl", FIRST + huge + b"\n" + LAST)
        done = self.echo("-O", "record.bytes_max=16MiB")
        self.assert_code(done, 0)
        self.assertEqual(self.ids("out.jsonl"), [1, 2, 3])

    def test_a_limit_is_a_limit_to_the_byte(self):
        fits = b'{"id":2,"key":"b"' + 1006 * b" " + b"}"
        self.assertEqual(len(fits), 1024)
        self.write("in.jsonl", fits + b"\r\n" + fits)
        done = self.echo("-O", "record.bytes_max=1KiB")
        self.assert_code(done, 0)
        self.write("in.jsonl", fits + b" \n")
        done = self.echo("-O", "record.bytes_max=1KiB")
        self.assert_code(done, 1)
        self.assertIn("in.jsonl: line 1 (byte 0): record of 1025 bytes is longer than the limit of 1024", done.error)

    def test_blank_lines_are_no_records(self):
        self.write("in.jsonl", b"\n\r\n  \t\n" + FIRST + b"\n\n" + LAST + b" \n\n")
        done = self.echo("--json")
        self.assert_code(done, 0)
        self.assertEqual(done.summary["records_read"], 2)
        self.assertEqual(self.ids("out.jsonl"), [1, 3])
        # They count as lines all the same.
        self.write("in.jsonl", b"\n\n\n" + FIRST + b"\nx\n")
        done = self.echo()
        self.assert_code(done, 1)
        self.assertIn("in.jsonl: line 6 (byte 23): ", done.error)

    def test_an_empty_file_and_one_of_blanks_are_no_records_at_all(self):
        for text in (b"", b"\n", b"\n \n\t"):
            self.write("in.jsonl", text)
            done = self.echo("--json")
            self.assert_code(done, 0)
            self.assertEqual(done.summary["records_read"], 0)
            self.assertEqual(self.read("out.jsonl"), "")

    def test_a_last_line_without_its_end_counts_if_it_is_whole(self):
        self.write("in.jsonl", FIRST + LAST.strip())
        self.assert_code(self.echo(), 0)
        self.assertEqual(self.ids("out.jsonl"), [1, 3])

    def test_a_file_cut_within_a_record_is_told_wherever_it_is_cut(self):
        whole = FIRST + b'{"id":3,"key":"\xe2\x82\xac","card":{"country":"CL"}}'
        for size in range(len(FIRST) + 1, len(whole)):
            self.write("in.jsonl", whole[:size])
            done = self.echo()
            self.assert_code(done, 1)
            self.assert_in(["in.jsonl: line 2 (byte 19): ", "; near "], done.error)
            self.assertEqual(self.ids("out.jsonl"), [1])

    def test_everything_before_a_bad_record_is_in_the_output(self):
        # More than some batches, so that what came before is in flight on all threads.
        good = [b'{"id":%d,"key":"k%d"}\n' % (i, i % 37) for i in range(5000)]
        self.write("in.jsonl", b"".join(good) + b"}\n" + b"".join(good))
        for threads in (1, 2, 4):
            done = self.echo("-c", threads)
            self.assert_code(done, 1)
            self.assertIn("in.jsonl: line 5001 ", done.error)
            self.assertEqual(sorted(self.ids("out.jsonl")), list(range(5000)))

    def test_many_bad_records_are_counted_and_seldom_logged(self):
        self.write("in.jsonl", 1000 * (FIRST + b"x\n"))
        done = self.echo("--json", "-O", "errors.decode=skip")
        self.assert_code(done, 0)
        self.assertEqual((done.summary["records_read"], done.summary["records_skipped"]), (2000, 1000))
        self.assertEqual(len(self.ids("out.jsonl")), 1000)
        self.assertEqual(done.err.count("skipped ("), 10)

    def test_a_file_of_noise_is_skipped_record_by_record(self):
        noise = os.urandom(300000).replace(b"\n", b"n")
        lines = b"\n".join(noise[i:i + 100] for i in range(0, len(noise), 100))
        self.write("in.jsonl", lines + b"\n" + LAST)
        done = self.echo("--json", "-O", "errors.decode=skip")
        self.assert_code(done, 0)
        self.assertEqual(self.ids("out.jsonl"), [3])
        self.assertEqual(done.summary["records_skipped"], 3000)

    def test_an_error_of_the_agent_ends_the_run_with_its_text(self):
        self.write("in.jsonl", b"".join(b'{"id":%d,"key":"a"}\n' % i for i in range(10)))
        for threads in (1, 2):
            done = self.echo("-c", threads, "-O", "echo.fail=7")
            self.assert_code(done, 1)
            self.assert_in(["repeat", "id 7 is not wanted here"], done.error)
            self.assertEqual(self.ids("out.jsonl"), list(range(7)))


class BadFiles(CommandTest):
    def test_a_missing_input_does_not_start(self):
        self.assert_not_started(self.echo(source="file:none.jsonl"),
                                "channel in: none.jsonl: cannot open it for reading: No such file or directory")

    def test_a_directory_is_no_file(self):
        (self.folder / "folder").mkdir()
        self.write("in.jsonl", FIRST)
        self.assert_not_started(self.echo(source="file:folder"), "channel in: folder: is a directory, not a file")
        self.assert_not_started(self.echo(to="file:folder"), "channel out: folder: ", "irectory")
        self.assert_not_started(self.echo(to="file:none/out.jsonl"),
                                "channel out: none/out.jsonl: cannot open it for writing: No such file or directory")

    @unittest.skipIf(os.geteuid() == 0, "root may read everything")
    def test_a_file_of_others_is_not_read(self):
        self.write("in.jsonl", FIRST)
        os.chmod(self.folder / "in.jsonl", 0)
        self.assert_not_started(self.echo(), "in.jsonl: cannot open it for reading: Permission denied")

    def test_input_and_output_are_never_one_file(self):
        self.write("in.jsonl", FIRST)
        os.link(self.folder / "in.jsonl", self.folder / "hard")
        os.symlink("in.jsonl", self.folder / "soft")
        for name in ("in.jsonl", "./in.jsonl", "hard", "soft"):
            self.assert_not_started(self.echo(to=f"file:{name}"), "are the same file")
            self.assertEqual(self.read("in.jsonl"), FIRST.decode())
        with open(self.folder / "in.jsonl", "ab") as out:
            done = self.echo(to="file:-", stdout=out)
        self.assert_not_started(done, "are the same file")
        self.assertEqual(self.read("in.jsonl"), FIRST.decode())

    def test_a_full_disk_fails_the_run_and_says_which(self):
        # At the end, at a flush, and while more is written than buffers hold.
        for count in (1, 5, 50000):
            self.write("in.jsonl", count * FIRST)
            done = self.echo("--json", to="file:/dev/full")
            self.assert_code(done, 1)
            self.assert_in(["channel out: /dev/full: cannot write ", "No space left on device"], done.error)
            self.assertEqual(done.summary["error"]["status"], "SABOT_ERR_IO")
        with open("/dev/full", "wb") as full:
            done = self.echo(to="file:-", stdout=full)
        self.assert_code(done, 1)
        self.assert_in(["channel out: standard output: cannot write ", "No space left on device"], done.error)

    def test_a_file_over_its_size_limit_fails_the_run(self):
        # The system ends a process by SIGXFSZ at its limit, unless it looks after the error by itself.
        self.write("in.jsonl", 50000 * FIRST)
        done = subprocess.run(["bash", "-c", "trap '' XFSZ; ulimit -f 64; exec \"$@\"", "bash", SABOT,
                               *self.echo_command()],
                              cwd=self.folder, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assert_in(["channel out: out.jsonl: cannot write ", "File too large"], done.stderr)


class Pipes(CommandTest):
    def test_records_go_from_pipe_to_pipe(self):
        done = self.echo(source="file:-", to="file:-", stdin=FIRST + b"\r\n" + LAST.strip())
        self.assert_code(done, 0)
        self.assertEqual([json.loads(line)["id"] for line in done.out.splitlines()], [1, 3])

    def test_a_bad_record_in_a_pipe_has_a_line_too(self):
        done = self.echo(source="file:-", to="file:-", stdin=FIRST + b"x\n" + LAST)
        self.assert_code(done, 1)
        self.assertIn("channel in: standard input: line 2 (byte 19): ", done.error)
        self.assertEqual([json.loads(line)["id"] for line in done.out.splitlines()], [1])

    def test_a_pipe_that_breaks_off_within_a_record_is_told(self):
        done = self.echo(source="file:-", to="file:-", stdin=FIRST + b'{"id":3,"ke')
        self.assert_code(done, 1)
        self.assertIn("standard input: line 2 (byte 19): ", done.error)

    def test_a_record_is_answered_before_the_next_one_comes(self):
        process = self.start_echo(source="file:-", to="file:-", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL)
        for i in range(20):
            process.stdin.write(b'{"id":%d,"key":"a"}\n' % i)
            process.stdin.flush()
            self.assertEqual(json.loads(process.stdout.readline())["id"], i)
        process.stdin.close()
        self.assertEqual(process.wait(), 0)

    def test_a_reader_that_goes_away_fails_the_run(self):
        self.write("in.jsonl", 100000 * FIRST)
        process = self.start_echo(to="file:-", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read().decode()
        self.assertEqual(process.wait(), 1, err)
        self.assert_in(["channel out: standard output: cannot write ", "Broken pipe"], err)

    def test_standard_input_that_is_closed_does_not_start(self):
        done = subprocess.run(["bash", "-c", "exec \"$@\" <&-", "bash", SABOT,
                               *self.echo_command(source="file:-")],
                              cwd=self.folder, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("channel in: standard input: ", done.stderr)


if __name__ == "__main__":
    unittest.main()
