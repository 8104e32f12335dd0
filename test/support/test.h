/* SPDX-License-Identifier: Apache-2.0 */
/* test.h - what every test program includes: cmocka, with the headers it wants before its own.
 *
 * An assertion leaves the test by longjmp, so it may only be used on the test's own thread; other
 * threads hand their findings to it. */
#ifndef SB_TEST_TEST_H
#define SB_TEST_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* How many random cases a test takes: with SABOT_LONG ten times as many as usual; a tenth under
 * ThreadSanitizer, which is slow and looks at threads, not at values. */
static inline uint32_t test_cases(uint32_t usual)
{
    if (getenv("SABOT_LONG") != NULL)
        return usual * 10;
#ifdef __SANITIZE_THREAD__
    return usual < 20 ? 2 : usual / 10;
#else
    return usual;
#endif
}

/* A new folder for small files: in memory, where a sync costs nothing, if the machine has such a
 * place. What a disk may do to files is tested on one that is made for that (disk.h). */
static inline bool test_folder(char *path, size_t size, const char *name)
{
    static const char *const places[] = {"/dev/shm", "/tmp"};

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        (void)snprintf(path, size, "%s/sabot-%s-XXXXXX", places[i], name);
        if (mkdtemp(path) != NULL)
            return true;
    }
    return false;
}

#endif
