/* SPDX-License-Identifier: MIT
 *
 * What the first pass learns of buffers from objects of known layouts: this
 * address belongs to an instance of this type.  Noted while the buffers are
 * still being found, settled when all of them are known.
 */
#ifndef PA_CENSUS_CLAIMS_H
#define PA_CENSUS_CLAIMS_H

#include "census/buffers.h"
#include "census/types.h"

/* Addresses with the index of a type in the lowest bits. */
struct pa_claim_list {
	uint64_t *claim;
	size_t n, room;
};

struct pa_claims {
	struct pa_claim_list starts;	/* of buffers */
	struct pa_claim_list insides;	/* anywhere in one */
	bool no_memory;
};

void pa_claims_deinit(struct pa_claims *claims);

/* An object in the first head_size bytes of a block, `offset` behind its
 * start. */
void pa_claims_note(struct pa_claims *claims, const struct pa_types *types,
		    uint32_t type, const uint8_t *head, size_t head_size,
		    unsigned offset);

/* Tell the buffers, once they are closed, and forget. */
void pa_claims_settle(struct pa_claims *claims, const struct pa_types *types,
		      struct pa_buffers *buffers);

#endif /* PA_CENSUS_CLAIMS_H */
