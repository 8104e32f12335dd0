# SPDX-License-Identifier: Apache-2.0
"""The commands at work on files: what they print where, and how they end."""
import json
import subprocess
import sys

from _golden import SABOT, Suite

suite = Suite("cli_run")
suite.build_app("_echo")
suite.write("in.jsonl", '{"id": 1, "name": "one"}\n\n{"id": 2}\n')
suite.write("bad.jsonl", '{"id": 1}\n{"id": "two"}\n{"id": 3}\n')
suite.write("failing.jsonl", '{"id": 1}\n{"id": -2}\n{"id": 3}\n')
suite.write("sabot.yaml", "bind:\n  in: file:in.jsonl\n  out: file:-\necho:\n  times: 2\n")
app = ["-A", "echo.so:app"]
source = ["--bind", "in=file:in.jsonl"]

suite.run("to_stdout", [*app, "worker", *source, "--bind", "out=file:-"])
suite.run("options_first", [*app, *source, "--bind=out=file:-", "-c2", "worker"])
suite.run("to_a_file", [*app, "worker", *source, "--bind", "out=file:out.jsonl"], files=["out.jsonl"])
suite.run("from_stdin", [*app, "worker", "--bind", "in=file:-", "--bind", "out=file:-"], stdin='{"id":5}\n{"id":6}')
suite.run("from_environment", ["worker", *source, "--bind", "out=file:-"], environment={"SABOT_APP": "echo.so:app"})
suite.run("app_option", [*app, "worker", *source, "--bind", "out=file:-", "-O", "echo.times=3"])
suite.run("config_file", [*app, "worker", "--config", "sabot.yaml"])
suite.run("option_beats_config_file", [*app, "worker", "--config", "sabot.yaml", "-O", "echo.times=0"])
suite.run("decode_fails", [*app, "worker", "--bind", "in=file:bad.jsonl", "--bind", "out=file:-"])
suite.run("decode_skips", [*app, "worker", "--bind", "in=file:bad.jsonl", "--bind", "out=file:-",
                           "-O", "errors.decode=skip"])
suite.run("agent_fails", [*app, "worker", "--bind", "in=file:failing.jsonl", "--bind", "out=file:-"])
suite.run("output_is_full", [*app, "worker", *source, "--bind", "out=file:/dev/full"])
suite.run("send", [*app, "send", "in", "--bind", "in=file:sent.jsonl"], stdin='{"id":1}\n\n{"name":"x","id":2}',
          files=["sent.jsonl"])
suite.run("send_is_refused", [*app, "send", "in", "--bind", "in=file:refused.jsonl"],
          stdin='{"id":1}\n{"id":"x"}\n{"id":3}\n', files=["refused.jsonl"])
suite.run("tap", [*app, "tap", "in", *source])
suite.run("tap_counts", [*app, "tap", "in", *source, "--count", "1"])

# The summary as JSON: one object on stdout, whose numbers are those of the run.
for case, name, code in (("json", "in.jsonl", 0), ("json_of_a_failure", "bad.jsonl", 1)):
    done = subprocess.run([SABOT, *app, "worker", "--json", "--bind", f"in=file:{name}", "--bind", "out=file:out.jsonl"],
                          cwd=suite.work, env=suite.environment, capture_output=True, text=True, timeout=60, check=False)
    summary = json.loads(done.stdout)
    kept = {key: summary[key] for key in ("outcome", "exit", "error", "records_read", "records_written", "outputs")}
    assert done.returncode == code == summary["exit"], done
    assert summary["run_us"] > 0 and summary["peak_memory_bytes"] > 0, summary
    suite.cases.add(case)
    suite.compare(case, json.dumps(kept, indent=1) + "\n")
sys.exit(suite.finish())
