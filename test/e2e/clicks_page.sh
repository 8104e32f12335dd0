#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# docs/clicks.md does what it says.
exec bash "$SABOT_SOURCE_DIR/test/e2e/_document.sh" docs/clicks.md 6
