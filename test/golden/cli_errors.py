# SPDX-License-Identifier: Apache-2.0
"""Everything that keeps the command from starting: one clear line each, exit 2, and nothing else is run instead."""
import sys

from _golden import Suite

suite = Suite("cli_errors")
suite.build_app("_echo")
suite.write("text.so", "#!/bin/sh\n")
suite.write("in.jsonl", '{"id": 1}\n')
(suite.work / "folder").mkdir()
app = ["-A", "echo.so:app"]
files = ["--bind", "in=file:in.jsonl", "--bind", "out=file:out.jsonl"]

# Usage
suite.run("no_command", [])
suite.run("unknown_command", ["wroker"])
suite.run("strange_command", ["xyzzy"])
suite.run("unknown_option", ["worker", "--thread", "3"])
suite.run("strange_option", ["worker", "--xyzzyxyzzy=3"])
suite.run("unknown_letter", ["worker", "-x"])
suite.run("missing_value", ["worker", "-A"])
suite.run("value_too_many", ["worker", "--until-end=true"])
suite.run("word_too_many", [*app, "worker", "now"])
suite.run("no_channel", [*app, "tap"])
suite.run("not_of_this_command", [*app, "tap", "in", "--json"])
suite.run("count_of_nothing", [*app, "tap", "in", "--count", "0"])

# Options by name
suite.run("threads_out_of_range", [*app, "worker", "-c", "65"])
suite.run("threads_attached", [*app, "worker", "-c65"])
suite.run("level_unknown", [*app, "worker", "-l", "loud"])
suite.run("level_of_environment", [*app, "worker"], environment={"SABOT_LOGLEVEL": "loud"})
suite.run("name_unknown", [*app, "worker", "-O", "treads=3"])
suite.run("name_alone", [*app, "worker", "-O", "threads"])
suite.run("app_option_unknown", [*app, "worker", *files, "-O", "echo.tiems=3"])
suite.run("app_option_out_of_range", [*app, "worker", *files, "-O", "echo.times=11"])
suite.run("app_unknown_group", [*app, "worker", *files, "-O", "eco.times=3"])
suite.run("secret_inline", [*app, "worker", "-O", "kafka.sasl.password=hunter2"])
suite.run("value_file_missing", [*app, "worker", "-O", "broker=@missing"])
suite.run("bind_without_url", [*app, "worker", "--bind", "in"])
suite.run("bind_without_scheme", [*app, "worker", "--bind", "in=in.jsonl"])
suite.run("bind_unknown_scheme", [*app, "worker", "--bind", "in=ftp://x"])
suite.run("bind_unknown_channel", [*app, "worker", *files, "--bind", "inn=file:in.jsonl"])

# The file
suite.run("config_missing", [*app, "worker", "--config", "missing.yaml"])
suite.run("config_of_environment", [*app, "worker"], environment={"SABOT_CONFIG": "missing.yaml"})
suite.write("wrong.yaml", "threads: 2\nerrors:\n  decod: skip\n")
suite.run("config_wrong", [*app, "worker", "--config", "wrong.yaml"])
suite.write("app.yaml", "echo:\n  tiems: 3\n")
suite.run("config_app_option_unknown", [*app, "worker", *files, "--config", "app.yaml"])
suite.write("secret.yaml", "kafka.sasl.password: hunter2\nthreads: x\n")
suite.run("config_secret_is_not_shown", [*app, "worker", "--config", "secret.yaml"])

# The app
suite.run("app_none", ["worker"])
suite.run("app_without_symbol", ["-A", "echo.so", "worker"])
suite.run("app_missing", ["-A", "missing.so:app", "worker"])
suite.run("app_of_environment", ["worker"], environment={"SABOT_APP": "missing.so:app"})
suite.run("app_is_a_folder", ["-A", "folder:app", "worker"])
suite.run("app_is_no_elf", ["-A", "text.so:app", "worker"])
suite.run("app_has_no_symbol", ["-A", "echo.so:ap", "worker"])
suite.run("app_is_none", ["-A", "echo.so:number", "worker"])
suite.run("app_of_a_later_version", ["-A", "echo.so:later", "worker"])
suite.run("app_does_not_build", ["-A", "echo.so:broken", "worker"])

# Channels
suite.run("input_missing", [*app, "worker", "--bind", "in=file:missing.jsonl", "--bind", "out=file:out.jsonl"])
suite.run("input_is_a_folder", [*app, "worker", "--bind", "in=file:folder", "--bind", "out=file:out.jsonl"])
suite.run("input_is_output", [*app, "worker", "--bind", "in=file:in.jsonl", "--bind", "out=file:in.jsonl"])
suite.run("json_and_stdout", [*app, "worker", "--bind", "in=file:in.jsonl", "--bind", "out=file:-", "--json"])
suite.run("tap_unknown_channel", [*app, "tap", "oout", *files])
suite.run("send_unknown_channel", [*app, "send", "oout", *files])
sys.exit(suite.finish())
