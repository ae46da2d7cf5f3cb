/* SPDX-License-Identifier: MIT
 *
 * From the references that were drawn to the answer; between census.c and
 * holders.c.
 */
#ifndef PA_CENSUS_ANSWER_H
#define PA_CENSUS_ANSWER_H

#include "census/holders.h"
#include "census/roots.h"

/* Edges are drawn, gaps told, types named.  0, PA_E_FAILED, or
 * PA_E_TIMEOUT where progress said so; the caller frees the holders in any
 * case. */
int pa_holders_answer(struct pa_references *references,
		      struct pa_roots *roots,
		      const struct pa_holders_ask *ask,
		      struct pa_holders *holders);

#endif /* PA_CENSUS_ANSWER_H */
