/* SPDX-License-Identifier: Apache-2.0 */
/* test_state_memory.c - the conformance suite of keyed state, with all of it in memory. */
#include "state_suite.h"

int main(void)
{
    static const struct state_backend memory = {.name = "memory"};

    return state_suite_run(&memory, &memory) + state_suite_run_operations(&memory) +
           state_suite_run_keys(&memory);
}
