/* SPDX-License-Identifier: MIT
 *
 * JSON as cli.md wants it: one object on one line, pretty-printed on a
 * terminal, never NaN, whatever bytes a name holds.
 */
#ifndef PA_CLIENT_JSON_OUT_H
#define PA_CLIENT_JSON_OUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "client/estimate.h"

/* An object that begins with "schema": "pyattach-sample/<kind>/1". */
json_t *pa_json_object(const char *kind);

json_t *pa_json_bytes(const char *bytes, size_t length);	/* any bytes */
json_t *pa_json_text(const char *text);		/* NULL and "" give null */
json_t *pa_json_count(uint64_t value);
json_t *pa_json_known(uint64_t value);		/* 0 gives null */
json_t *pa_json_real(double value);		/* not finite gives null */
json_t *pa_json_estimate(const struct pa_estimate *estimate);

/* Write with a newline and free.  0, or PA_E_FAILED without memory; errors
 * of the file show when it is closed. */
int pa_json_write(FILE *file, json_t *object, bool pretty);

#endif /* PA_CLIENT_JSON_OUT_H */
