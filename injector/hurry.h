/* SPDX-License-Identifier: MIT
 *
 * Precedence for a thread of ours while one of the target waits for it: on
 * busy cores that wait would else last until we are scheduled again.  Only
 * our own priority is ever changed.  Where none of it is allowed we are
 * slower, and nothing else happens.
 */
#ifndef PA_INJECTOR_HURRY_H
#define PA_INJECTOR_HURRY_H

/* What the thread was before. */
struct pa_hurry {
	int policy;	/* -1: nothing to put back */
	int priority;
};

/* The calling thread comes first from here on; it must sleep wherever it
 * would wait for long. */
void pa_hurry_begin(struct pa_hurry *before);
void pa_hurry_end(const struct pa_hurry *before);

#endif /* PA_INJECTOR_HURRY_H */
