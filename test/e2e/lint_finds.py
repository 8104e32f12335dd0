#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each rule of the lint finds a planted fault, and is silent about the same file without it."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(os.environ["SABOT_SOURCE_DIR"])
HEAD = "/* SPDX-License-Identifier: Apache-2.0 */\n"

# file, line to plant, rule that must report it
PLANTED = [
    ("src/base/ring.c", '#include "data/batch.h"', "layer"),
    ("src/data/batch.c", '#include "format/codec.h"', "layer"),
    ("src/format/json.c", '#include "channel/channel.h"', "layer"),
    ("src/channel/file.c", '#include "format/json.h"', "layer"),
    ("src/op/process.c", '#include "state/rocksdb.h"', "layer"),
    ("src/flow/task.c", '#include "op/window.h"', "layer"),
    ("src/ckpt/txn.c", '#include "channel/kafka.h"', "layer"),
    ("src/cli/main.c", '#include "base/mem.h"', "layer"),
    ("src/flow/task.c", "#include <librdkafka/rdkafka.h>", "place"),
    ("src/flow/task.c", "#include <time.h>", "place"),
    ("src/state/memory.c", "#include <pthread.h>", "place"),
    ("src/data/batch.c", "void *p = malloc(1);", "call"),
    ("src/cli/main.c", "strcpy(a, b);", "call"),
    ("test/unit/test_ring.c", "usleep(1000);", "call"),
    ("src/data/batch.c", "/* " + "TO" + "DO: later */", "unfinished"),
    ("src/data/batch.c", "int x; ", "blank"),
    ("src/data/batch.c", "/* " + 100 * "x" + " */", "width"),
    ("README.md", "see /" + "root/notes", "machine"),
]
CLEAN = [
    ("src/flow/task.c", '#include "op/operator.h"'),
    ("src/channel/memory.c", '#include "format/codec.h"'),
    ("src/op/process.c", '#include "state/store.h"'),
    ("src/base/os.c", "#include <pthread.h>"),
    ("src/channel/kafka.c", "#include <librdkafka/rdkafka.h>"),
    ("src/data/batch.c", "/* strcpy(a, b) is only named here */"),
    ("README.md", "https://example.org/" + "work/"),
]


def findings(root, name, line):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text((HEAD if path.suffix == ".c" else "") + line + "\n")
    done = subprocess.run([sys.executable, root / "tools/lint_source.py"], capture_output=True, text=True, check=False)
    path.unlink()
    return done.stdout


with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    (root / "tools").mkdir()
    shutil.copy(SOURCE / "tools/lint_source.py", root / "tools")
    (root / "tools/lint.allow").write_text("")
    subprocess.run(["git", "init", "-q", root], check=True)
    for name, line, rule in PLANTED:
        if f": {rule}: " not in findings(root, name, line):
            sys.exit(f"FAILED: no finding of '{rule}' in {name}: {line}")
    for name, line in CLEAN:
        if found := findings(root, name, line):
            sys.exit(f"FAILED: {name}: {line}\n{found}")
    (root / "tools/lint.allow").write_text("width src/nowhere.c\n")
    if "not needed any more" not in findings(root, "README.md", "text"):
        sys.exit("FAILED: an exception that excepts nothing passes")
print(f"{len(PLANTED)} faults found")
