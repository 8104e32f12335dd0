# Verbs; the build itself is CMake (CMakeLists.txt, CMakePresets.json).
.PHONY: sim-long all demo check check-long test fmt fmt-check tidy asan tsan fuzz cover bench clean
T ?=
S ?= 60
TESTS = tools/run_tests.py

all:         ; @tools/install-deps build && tools/build release
demo: all    ; @tools/demo
check:       ; @tools/install-deps check && tools/check
check-long:  ; @tools/install-deps check && tools/check --long
test:        ; @tools/install-deps check && tools/build release && $(TESTS) build -L '^(unit|fuzz|lint|golden)$$'
fmt:         ; @tools/lint --fix format
fmt-check:   ; @tools/lint format
tidy:        ; @tools/lint
asan tsan:   ; @tools/build $@ && $(TESTS) build-$@ -L '^(unit|fuzz)$$'
sim-long:    ; @tools/build release -DSABOT_TESTS=ON && test/sim/run.py further
fuzz:        ; @tools/fuzz '$(T)' '$(S)'
cover:       ; @tools/cover
bench: all   ; @tools/bench
clean:       ; rm -rf build build-*
