/* SPDX-License-Identifier: MIT
 *
 * The headers that cmocka wants, in the order it wants them.  One group a
 * program: TAP allows one plan.
 */
#ifndef PA_TESTS_UNIT_H
#define PA_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#endif /* PA_TESTS_UNIT_H */
