# SPDX-License-Identifier: Apache-2.0
"""SIGTERM and SIGINT: the first ends a worker cleanly, the second at once, and a reader that goes away is no crash."""
import os
import pathlib
import signal
import subprocess
import tempfile

SOURCE = pathlib.Path(os.environ["SABOT_SOURCE_DIR"])
SABOT = os.environ["SABOT"]
STUCK = r"""
#include <sabot/sabot.h>
#include <stdio.h>
#include <unistd.h>
struct item { int64_t id; };
static const sabot_field fields[] = {SABOT_FIELD(struct item, id, "id", SABOT_INT64, SABOT_REQUIRED)};
static const sabot_schema schema = SABOT_SCHEMA("item", 1, struct item, fields);
static sabot_status on_item(sabot_context *context, const void *record)
{
    (void)context;
    fprintf(stderr, "handled %d\n", (int)((const struct item *)record)->id);
    while (((const struct item *)record)->id == 0)
        pause();
    return SABOT_OK;
}
static sabot_status build(sabot_app *app)
{
    sabot_agent_create(app, "stuck", sabot_channel_open(app, "in", NULL, &schema), on_item, NULL);
    return sabot_app_status(app);
}
SABOT_APP(app, "stuck", build);
"""


def start(work, record):
    (work / "in.jsonl").write_text(record + "\n")
    return subprocess.Popen([SABOT, "-A", "stuck.so:app", "worker", "--bind", "in=file:in.jsonl?follow=true"], cwd=work,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(process, text):
    """Read stderr up to a line with `text`."""
    lines = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return
    raise AssertionError(f"no {text!r} in {lines}")


def end(process, code):
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, (process.returncode, out, err)
    assert out == "", out
    return err


def first_signal_ends_cleanly(work, number):
    process = start(work, '{"id": 1}')
    wait_for(process, "handled 1")
    process.send_signal(number)
    err = end(process, 0)
    assert "stopped: 1 record in" in err, err


def second_signal_ends_at_once(work, first, second):
    process = start(work, '{"id": 0}')
    wait_for(process, "handled 0")
    process.send_signal(first)
    wait_for(process, "stopping")
    process.send_signal(second)
    end(process, 128 + second)


with tempfile.TemporaryDirectory(prefix="sabot_signals_") as folder:
    path = pathlib.Path(folder)
    (path / "stuck.c").write_text(STUCK)
    subprocess.run(["cc", "-std=c17", "-D_GNU_SOURCE", "-shared", "-fPIC", f"-I{SOURCE}/include", "-o", "stuck.so",
                    "stuck.c"], cwd=path, check=True)
    first_signal_ends_cleanly(path, signal.SIGTERM)
    first_signal_ends_cleanly(path, signal.SIGINT)
    second_signal_ends_at_once(path, signal.SIGTERM, signal.SIGTERM)
    second_signal_ends_at_once(path, signal.SIGTERM, signal.SIGINT)
