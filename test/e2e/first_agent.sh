#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# docs/first-agent.md does what it says.
exec bash "$SABOT_SOURCE_DIR/test/e2e/_document.sh" docs/first-agent.md 6
