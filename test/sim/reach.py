# SPDX-License-Identifier: Apache-2.0
"""What the simulator has come by, and what it should have: labels, and branches of errors.

Labels are the crash points of the source. A branch of an error is a line of the code that takes checkpoints, commits
them or goes on from them, and that raises an error or hands one on (SABOT_TRY); gcov has counted how often, in the
build sabot-sim-reach. Each must be taken ten times in 10,000 seeds; what can't be is in unreached.txt, with its reason.
"""
import json
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
EXCEPTED = pathlib.Path(__file__).resolve().parent / "unreached.txt"
ENOUGH = 10

RAISES = re.compile(r"\b(sabot_raise|raise_\w+|no_memory)\(")
HANDS_ON = re.compile(r"\bSABOT_TRY\(")


def objects(build):
    return build / "CMakeFiles" / "sabot_counted.dir"


def forget(build):
    """Counters of earlier runs."""
    for path in objects(build).rglob("*.gcda"):
        path.unlink()


def count_of(text, line):
    """How often an error was taken here; None: none is."""
    if HANDS_ON.search(text):
        pair = [branch["count"] for branch in line["branches"][-2:]]
        return min(pair) if len(pair) == 2 else None
    return line["count"] if RAISES.search(text) and not re.match(r"(static )?\w+ \w+\(", text) else None


def branches(build):
    """(file, text of the line, number, count) of each branch of an error."""
    found = {}
    for data in sorted(objects(build).rglob("*.gcda")):
        done = subprocess.run(["gcov", "--json-format", "--stdout", "-b", str(data)], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, cwd=build, check=True)
        for file in json.loads(done.stdout)["files"]:
            path = (build / file["file"]).resolve()
            if path.suffix != ".c" or not path.is_relative_to(ROOT / "src"):
                continue
            source = path.read_text().splitlines()
            for line in file["lines"]:
                number = line["line_number"]
                text = source[number - 1].strip()
                count = count_of(text, line)
                if count is not None:
                    key = (str(path.relative_to(ROOT)), number)
                    found[key] = (text, max(count, found.get(key, (text, 0))[1]))
    return [(path, text, number, count) for (path, number), (text, count) in sorted(found.items())]


def labels():
    """Crash points and probes of the source, as it names them."""
    found = set()
    name = re.compile(r'"((?:ckpt|txn|restore|source|sink|task)\.[a-z_]+|savepoint\.(?!create)[a-z_]+)"')
    for path in sorted((ROOT / "src").glob("*/*.c")):
        if path.parent.name not in ("sim", "base"):
            found.update(name.findall(path.read_text()))
    return found


def excepted():
    """(place, text). A line of the file: a label, or PATH: a part of the lines' text; then "  # " and the reason."""
    for line in EXCEPTED.read_text().splitlines():
        if line and line[0] != "#":
            place, _, text = line.split("  # ")[0].partition(": ")
            yield place, text.strip()


def check(build, text):
    """What was come by less than ten times, and is not excepted. `text` is what sabot-sim --reach has printed."""
    known = list(excepted())
    seeds = int(re.search(r"^seeds (\d+)", text, flags=re.M).group(1))
    hits = {words[1]: int(words[2]) for words in map(str.split, text.splitlines()) if words[:1] == ["label"]}
    rows = [(name, "", hits.get(name, 0)) for name in sorted(labels())]
    rows += [(path, f"{number}: {line}", count) for path, line, number, count in branches(build)]
    rare = [row for row in rows if row[2] < ENOUGH]
    left = [row for row in rare if not any(row[0].startswith(place) and part in row[1] for place, part in known)]
    for place, line, count in left:
        print(f"rarely reached, {count} times: {place} {line}")
    print(f"reach: {len(rows)} labels and branches of errors, {len(rows) - len(rare)} reached ten times, "
          f"{len(rare) - len(left)} excepted, {len(left)} missing")
    return 1 if left and seeds >= 10000 else 0
