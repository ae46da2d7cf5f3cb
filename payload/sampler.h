/* SPDX-License-Identifier: MIT
 *
 * The sampler's arithmetic: when the next sample falls, with what
 * probability an allocation was sampled.  Pure functions, no libm, no state
 * but the generator handed in.  Any thread.
 */
#ifndef PA_PAYLOAD_SAMPLER_H
#define PA_PAYLOAD_SAMPLER_H

#include <stdint.h>

/* xoshiro256**; one per thread record. */
struct pa_random {
	uint64_t s[4];
};

/* Fill the state from a seed by splitmix64; any seed is good. */
void pa_random_init(struct pa_random *random, uint64_t seed);
uint64_t pa_random_next(struct pa_random *random);

/*
 * Bytes until the next sample: floor(-rate ln U), U in (0, 1].  An allocation
 * that charges size + 1 bytes is sampled if and only if that exceeds the
 * countdown.  rate 1 gives 0 always: everything is sampled.
 */
int64_t pa_sampler_draw(struct pa_random *random, uint64_t rate);

/* P = 1 - exp(-(size + 1) / rate); 1 for rate 1.  In (0, 1]. */
double pa_sampler_probability(uint64_t size, uint64_t rate);

#endif /* PA_PAYLOAD_SAMPLER_H */
