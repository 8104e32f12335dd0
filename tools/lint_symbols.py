#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""lint_symbols.py BUILD: what the compiled objects call and export, which no pattern over the source can hide.

1. The port layer: an object of the library calls nothing of the system but pure functions; clocks, threads, files,
   memory and libraries are for the files named in PORT.
2. Layers: an object uses only symbols of layers it may include, and no concrete channel, codec, store or operator
   unless it is of api or run.
3. Exports: libsabot.so and the command export the functions declared SABOT_API, and nothing else.
"""
import pathlib
import re
import subprocess
import sys

import lint_source

ROOT = lint_source.ROOT

PURE = re.compile(
    r"(__)?(mem(cpy|move|set|cmp|chr|rchr|mem)|str(n?len|n?cmp|r?chr|chrnul|str|c?spn|pbrk|n?casecmp)"
    r"|strto(l|ll|ul|ull|d|f|ld)|v?snprintf|qsort|bsearch|labs|ldiv)(_chk)?"
    r"|(log|log2|log10|log1p|exp|exp2|expm1|pow|sqrt|cbrt|sin|cos|tan|floor|ceil|round|rint|nearbyint|trunc|fmod|fabs"
    r"|nextafter|ldexp|frexp|scalbn|ll?round|ll?rint|modf|fmin|fmax|hypot|copysign)f?"
    r"|__isoc(99|23)_strto\w+|__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|__errno_location|__ctype_b_loc|__assert_fail"
    r"|is(alpha|digit|alnum|space|print|xdigit|upper|lower|cntrl|punct|graph)|to(upper|lower)|__popcountdi2"
    r"|__u?(div|mod|divmod)ti[34]|__floattidf"
)
# Files that may call more: pattern of the file (below src/), pattern of the symbols.
PORT = [
    (r"base/os[a-z0-9_]*\.c", r".*"),
    (r"base/mem\.c", r"(m|c|re)alloc|free|aligned_alloc|posix_memalign"),
    (r"base/\w+\.c", r"abort|fprintf|stderr|fputs"),
    (r"channel/(kafka[a-z0-9_]*|redis)\.c", r".*"),
    (r"state/rocksdb\.c", r".*"),
    (r"run/http\w*\.c", r"(MHD|curl)_\w+"),
    (r"(api|run|format)/\w+\.c", r"(yaml|json|jansson)_\w+"),
    (r"sim/process\.c", r"(get|make|swap)context"),
    (r"cli/\w+\.c", r".*"),
]
CONCRETE_KINDS = ("channel", "codec", "store", "operator")


def nm(path, *options):
    done = subprocess.run(["nm", "-P", *options, str(path)], capture_output=True, text=True, check=True)
    return [tuple(line.split()[:2]) for line in done.stdout.splitlines() if line.strip()]


def objects(build):
    for path in sorted(build.glob("CMakeFiles/*.dir/src/*/*.c.o")):
        source = pathlib.Path(*path.parts[path.parts.index("src"):]).with_suffix("")
        if (ROOT / source).is_file():
            yield source, path


def may_call(inside, symbol):
    return PURE.fullmatch(symbol) or any(
        re.fullmatch(file, inside) and re.fullmatch(pattern, symbol) for file, pattern in PORT)


def may_use(layer, where):
    """May `layer` use a symbol defined in the source `where`? By folder: an interface may have many files."""
    folders = {entry.split("/")[0] for entry in lint_source.LAYERS[layer]}
    return "*" in folders or where.parts[1] in folders


def check_objects(found, findings):
    defined = {}
    # A file that defines the object sb_channel_<its name>, say, is a concrete channel: all of it is out of bounds.
    concrete = set()
    for source, symbols in found.items():
        for name, kind in symbols:
            if kind in "TDBRVWGSC":
                defined[name] = source
            if kind in "DBRG" and re.fullmatch(rf"sb_({'|'.join(CONCRETE_KINDS)})_{source.stem}", name):
                concrete.add(source)
    for source, symbols in found.items():
        layer, inside = source.parts[1], str(source.relative_to("src"))
        if layer not in lint_source.LAYERS:
            continue
        for name, kind in symbols:
            if kind not in "Uvw":
                continue
            where = defined.get(name)
            if where is None:
                # Ours, but in no object yet: the linker has its say on that.
                if not name.startswith(("sabot_", "sb_")) and not may_call(inside, name):
                    findings.add(source, 1, "port", f"calls {name}: only the port layer may (base/env.h)")
            elif layer == "cli":
                if not name.startswith("sabot_") and where.parts[1] != "cli":
                    findings.add(source, 1, "layer", f"uses {name}: the command sees include/ only")
            elif not may_use(layer, where):
                findings.add(source, 1, "layer", f"{layer} uses {name} of {where}")
            elif where in concrete and layer not in ("api", "run", "sim", where.parts[1]):
                findings.add(source, 1, "layer", f"{layer} uses {name} of the concrete {where}")


def declared():
    names = set()
    for header in sorted((ROOT / "include/sabot").glob("*.h")):
        code = lint_source.code_only(header.read_text())
        code = re.sub(r"^\s*#(?:\\\n|.)*", "", code, flags=re.M)
        for statement in re.findall(r"\bSABOT_API\b([^;{]*)[;{]", code):
            match = re.search(r"\b(sabot_\w+)\s*\(", statement)
            if match:
                names.add(match.group(1))
    return names


def check_exports(build, findings):
    wanted = declared()
    for name in ("libsabot.so", "sabot"):
        path = build / name
        if not path.exists():
            continue
        exported = {symbol.split("@")[0] for symbol, kind in nm(path, "-D", "--defined-only") if kind in "TDBRVWG"}
        if not exported:
            continue
        for symbol in sorted(wanted - exported):
            findings.add(pathlib.Path("include/sabot"), 1, "export", f"{symbol} is declared, but {name} lacks it")
        for symbol in sorted(exported - wanted):
            # The streams of the C library are copied into a program that uses them.
            if not re.fullmatch(r"_?_?(bss_start|edata|end|data_start)|std(in|out|err)", symbol):
                findings.add(pathlib.Path("include/sabot"), 1, "export", f"{name} exports {symbol}, declared nowhere")


def main():
    build = pathlib.Path(sys.argv[1])
    findings = lint_source.Findings()
    findings.allowed = {key: line for key, line in findings.allowed.items() if key[0] in ("port", "export")}
    found = {source: nm(path) for source, path in objects(build)}
    if not found:
        print(f"{build}: no objects of the library: build it first")
        return 1
    check_objects(found, findings)
    check_exports(build, findings)
    return findings.finish()


if __name__ == "__main__":
    sys.exit(main())
