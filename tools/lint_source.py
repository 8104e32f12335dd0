#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rules of the source that no compiler knows: layers, banned calls, long lines, marks of unfinished work.

Every finding is one line, "path:line: rule: text". tools/lint.allow excepts "rule path"; an entry that excepts
nothing any more is itself a finding, so that the list can only shrink.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Who may include whom. A folder stands for all of its headers; a header only for itself.
BELOW = {"base", "data"}
INTERFACES = {"channel/channel.h", "format/codec.h", "state/store.h"}
LAYERS = {
    "base": {"base"},
    "data": BELOW,
    "format": BELOW | {"format"},
    "expr": BELOW | {"expr"},
    "state": BELOW | {"state"},
    "channel": BELOW | {"channel", "format/codec.h"},
    "op": BELOW | INTERFACES | {"op", "expr", "state"},
    "flow": BELOW | INTERFACES | {"flow", "op/operator.h"},
    "ckpt": BELOW | {"ckpt", "flow", "state/store.h"},
    "run": {"*"},
    "api": {"*"},
    "sim": {"*"},
    "cli": {"cli"},
}
CONCRETE = {"state/memory.h", "state/rocksdb.h"}  # not even op, which may see the rest of state

# Third-party and system headers that are included in one place only.
PORT = r"base/os[a-z0-9_]*\.c|channel/kafka[a-z0-9_]*\.c|channel/redis\.c|state/rocksdb\.c"
PLACES = {
    r"librdkafka/.*": r"channel/kafka[a-z0-9_]*\.c",
    r"rocksdb/.*": r"state/rocksdb\.c",
    r"hiredis/.*": r"channel/redis\.c",
    r"microhttpd\.h": r"run/http\.c",
    r"curl/.*": r"run/http_client\.c",
    r"(pthread|threads|semaphore|unistd|fcntl|poll|dirent|signal|time|dlfcn|sched|spawn)\.h": PORT,
    r"(sys|netinet|arpa|linux)/.*": PORT,
}
SINGLE = ["yaml.h", "jansson.h", "xxhash.h"]  # any one file of the library

BANNED = {
    r"(?:strcpy|stpcpy|strcat|strncat|strncpy|sprintf|vsprintf|gets|strtok)": "unbounded or unterminated",
    r"(?:atoi|atol|atoll|atof|sscanf|scanf)": "no way to see an error",
    r"(?:s?rand|random|drand48|rand_r)": "randomness comes from the environment",
    r"(?:alloca|system|popen|setjmp|longjmp)": "not in this house",
}
MEMORY = r"(?:malloc|calloc|realloc|free|aligned_alloc|posix_memalign|strdup|strndup)"
UNSAFE = r"(?:strerror|localtime|gmtime|asctime|ctime|setenv|readdir_r|setlocale)"
SLEEP = r"(?:sleep|usleep|nanosleep|clock_nanosleep|thrd_sleep)"

# Put together here, so that this file does not find itself.
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"]) + r")\b")
MACHINE = re.compile(r"(?<![\w.}$)/-])/(" + "|".join(["wo" + "rk", "ro" + "ot", "ho" + "me/[a-z]+"]) + r")/")


class Findings:
    def __init__(self):
        self.lines = []
        self.allowed = {}
        for number, line in enumerate((ROOT / "tools/lint.allow").read_text().splitlines(), 1):
            words = line.split("#")[0].split()
            if words:
                self.allowed[tuple(words)] = number
        self.used = set()

    def add(self, path, line, rule, text):
        if (rule, str(path)) in self.allowed:
            self.used.add((rule, str(path)))
        else:
            self.lines.append(f"{path}:{line}: {rule}: {text}")

    def finish(self):
        for key, number in self.allowed.items():
            if key not in self.used:
                self.lines.append(f"tools/lint.allow:{number}: allow: {' '.join(key)} is not needed any more")
        for line in sorted(self.lines):
            print(line)
        return 1 if self.lines else 0


def code_only(text):
    """The text with comments, strings and character constants blanked out, line breaks kept."""
    pattern = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    return pattern.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def includes(text):
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
        if match:
            yield number, match.group(1) == '"', match.group(2)


def may_include(layer, header):
    allowed = LAYERS[layer]
    if "*" in allowed:
        return True
    if layer == "op" and header in CONCRETE:
        return False
    return header in allowed or header.split("/")[0] in allowed


def check_layers(path, text, findings, singles):
    layer = path.parts[1]
    inside = str(path.relative_to("src"))
    if layer not in LAYERS:
        findings.add(path, 1, "layer", f"src/{layer} is no layer: see ARCHITECTURE.md")
        return
    for number, quoted, header in includes(text):
        if quoted:
            target = header if "/" in header else f"{layer}/{header}"
            if not may_include(layer, target):
                findings.add(path, number, "layer", f"{layer} must not include {header}")
            continue
        for pattern, place in PLACES.items():
            if re.fullmatch(pattern, header) and not re.fullmatch(place, inside) and layer != "cli":
                findings.add(path, number, "place", f"<{header}> belongs into {place} only")
        if header in SINGLE:
            singles.setdefault(header, []).append((path, number))


def check_calls(path, code, findings):
    rules = dict(BANNED)
    if path.parts[0] == "src" and not re.search(r"^src/base/(os|mem)|^src/cli/", str(path)):
        rules[MEMORY] = "memory comes from the environment (base/mem.h)"
    if path.parts[0] == "src" and path.parts[1] != "cli":
        rules[UNSAFE] = "not safe with threads"
    if path.parts[0] in ("src", "test") and not re.fullmatch(PORT, str(path.relative_to(path.parts[0]))):
        rules[SLEEP] = "waiting is for wakers; a sleep is no synchronisation"
    for number, line in enumerate(code.splitlines(), 1):
        for pattern, why in rules.items():
            match = re.search(rf"(?<![\w>.]){pattern}\s*\(", line)
            if match:
                findings.add(path, number, "call", f"{match.group().rstrip('( ')}: {why}")


def check_lines(path, text, findings):
    is_c = path.suffix in (".c", ".h", ".cpp")
    limit = 100 if is_c else 120
    is_prose = path.suffix in (".md", ".json", ".txt", ".jsonl", ".csv") or path.name in ("LICENSE", ".clang-tidy")
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > limit and not is_prose:
            findings.add(path, number, "width", f"{len(line)} columns, {limit} is the limit")
        if line != line.rstrip() and path.suffix != ".md" and path.name != "LICENSE":
            findings.add(path, number, "blank", "blanks at the end of the line")
        match = UNFINISHED.search(line)
        if match:
            findings.add(path, number, "unfinished", f"{match.group()}: open an issue instead")
        match = MACHINE.search(line)
        if match:
            findings.add(path, number, "machine", f"a path of one machine: {match.group()}")
        if path.parts[0] == "test" and path.suffix == ".py" and re.search(r"\btime\.sleep\(", line):
            findings.add(path, number, "call", "time.sleep: a sleep is no synchronisation")


def is_checked(path):
    """Inputs and expected outputs of tests are data."""
    return not re.match(r"test/(fuzz/corpus|golden|data)/|docs/.*\.(svg|png)$", str(path))


def main():
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                            capture_output=True, check=True).stdout
    paths = sorted({pathlib.Path(name) for name in listed.decode().split("\0") if name})
    findings = Findings()
    singles = {}
    for path in paths:
        full = ROOT / path
        if not full.is_file() or not is_checked(path):
            continue
        try:
            text = full.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        check_lines(path, text, findings)
        if path.suffix in (".c", ".h", ".cpp"):
            if "SPDX-License-Identifier: Apache-2.0" not in text[:200]:
                findings.add(path, 1, "licence", "no SPDX line at the top")
            check_calls(path, code_only(text), findings)
            if path.parts[0] == "src":
                check_layers(path, text, findings, singles)
    for header, places in singles.items():
        for path, number in places[1:]:
            findings.add(path, number, "place", f"<{header}> is already included in {places[0][0]}")
    return findings.finish()


if __name__ == "__main__":
    sys.exit(main())
