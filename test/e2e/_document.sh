#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A document does what it says: its files are written, its commands run in order by one shell, and each prints what the
# document shows. A block "```c NAME" or "```json NAME" is a file, "```sh" is run, and "```text output" is the standard
# output of the block before.
#
#     _document.sh DOCUMENT OUTPUTS    fails too when fewer than OUTPUTS were compared
set -euo pipefail
document=$SABOT_SOURCE_DIR/$1
at_least=$2
set --
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
export SABOT_HOME=$work/sabot # as a user has it: the tree, with its build
mkdir "$SABOT_HOME"
ln -s "$SABOT_SOURCE_DIR/include" "$SABOT_SOURCE_DIR/examples" "$SABOT_HOME"
ln -s "$SABOT_BUILD_DIR" "$SABOT_HOME/build"

# Each block becomes a file NUMBER.KIND; the first line of a file to be written is its name.
mkdir "$work/blocks"
awk -v to="$work/blocks" '
    /^```/ && inside { inside = 0; close(file); next }
    /^```(c|json) / { inside = 1; file = sprintf("%s/%03d.file", to, ++count); print $2 >file; next }
    /^```sh$/ { inside = 1; file = sprintf("%s/%03d.sh", to, ++count); next }
    /^```text output$/ { inside = 1; file = sprintf("%s/%03d.output", to, ++count); next }
    /^```/ { inside = 1; file = "/dev/null"; next }
    inside { print >file }
' "$document"

mkdir "$work/empty"
cd "$work/empty"
: >"$work/printed"
checked=0
for block in "$work"/blocks/*; do
    case $block in
    *.file) tail -n +2 "$block" >"$(head -n 1 "$block")" ;;
    *.sh)
        # In this shell, so that what it exports and where it goes hold for the next ones.
        source "$block" >"$work/printed" 2>"$work/errors" </dev/null || {
            cat "$block" "$work/errors"
            echo "FAILED: the commands above"
            exit 1
        }
        ;;
    *.output)
        diff -u --label document --label printed "$block" "$work/printed"
        checked=$((checked + 1))
        ;;
    esac
done
[[ $checked -ge $at_least ]] || { echo "only $checked outputs were found in the document"; exit 1; }
echo "$checked outputs are as the document has them"
