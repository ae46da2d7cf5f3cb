/* SPDX-License-Identifier: MIT
 *
 * Included after config.h: makes the payload one of another version.
 */
#undef PACKAGE_VERSION
#define PACKAGE_VERSION "0.0.1-test"
