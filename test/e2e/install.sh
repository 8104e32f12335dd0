#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Sabot installed into a folder, moved, and used from outside by pkg-config and by CMake.
set -euo pipefail
objects=$SABOT_BUILD_DIR/CMakeFiles/sabot_objects.dir
if [[ -n $SABOT_SANITIZE || -n $(find "$objects" -name '*.gcno' -print -quit) ]]; then
    echo "an instrumented build is not for installing"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
flags=(-std=c17 -Wall -Wextra -Wpedantic -Werror)

cmake --install "$SABOT_BUILD_DIR" --prefix "$work/first" >/dev/null
mv "$work/first" "$work/prefix"
cp -r "$SABOT_SOURCE_DIR/test/install" "$work/user"
cd "$work/user"
libs=$(dirname "$(find "$work/prefix" -name libsabot.so -print -quit)")
export PKG_CONFIG_PATH=$libs/pkgconfig
worker() { timeout 60 "$work/prefix/bin/sabot" -A "$1:numbers" worker </dev/null; }

# An app by hand: the headers, and nothing to link.
gcc "${flags[@]}" -shared -fPIC -o numbers.so numbers.c $(pkg-config --cflags sabot)
worker ./numbers.so
# Programs: with the shared library, and with the static one.
gcc "${flags[@]}" -o shared embed.c numbers.c $(pkg-config --cflags --libs sabot) "-Wl,-rpath,$libs"
./shared
static=$(pkg-config --cflags --libs --static sabot | sed 's/-lsabot/-l:libsabot.a/')
gcc "${flags[@]}" -o static embed.c numbers.c $static
./static
[[ $(ldd static) != *libsabot* ]]

# The same by CMake.
cmake -G Ninja -S . -B build -DCMAKE_PREFIX_PATH="$work/prefix" >cmake.log 2>&1 || { cat cmake.log; exit 1; }
cmake --build build
worker build/numbers.so
build/embed-sabot
build/embed-static

# Nothing of the tree it was built in is needed or named by what is installed.
[[ $(pkg-config --modversion sabot) == "$(build/embed-sabot | sed 's/sabot \([^:]*\):.*/\1/')" ]]
if grep -rl "$SABOT_SOURCE_DIR" "$work/prefix/include" "$libs/pkgconfig" "$libs/cmake"; then
    echo "the files above name the source tree"
    exit 1
fi
