/* SPDX-License-Identifier: Apache-2.0 */
/* test.h - what every test program includes: cmocka, with the headers it wants before its own.
 *
 * An assertion leaves the test by longjmp, so it may only be used on the test's own thread; other
 * threads hand their findings to it. */
#ifndef SB_TEST_TEST_H
#define SB_TEST_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#endif
