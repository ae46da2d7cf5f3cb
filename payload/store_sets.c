/* SPDX-License-Identifier: MIT
 *
 * The two descriptor sets of the directory.  A set becomes valid by its CRC,
 * which is written last, and the one before it is withdrawn only then: a
 * reader of a core finds one at any instant.
 */
#include <stddef.h>
#include <string.h>

#include "payload/store_internal.h"

uint32_t pa_set_crc(const struct pa_set *set)
{
	uint32_t crc = pa_crc32(0, set, offsetof(struct pa_set, crc));

	return pa_crc32(crc, set->region, sizeof(set->region));
}

void pa_set_withdraw(unsigned set)
{
	struct pa_directory *d = pa_store.directory;
	struct pa_set *s = &d->set[set];

	__atomic_store_n(&s->generation, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&s->n_regions, 0, __ATOMIC_RELEASE);
	/* generation 0 is never valid, whatever the CRC */
	__atomic_store_n(&s->crc, 0, __ATOMIC_RELEASE);
	memset(s->region, 0, sizeof(s->region));
}

void pa_set_publish(unsigned set, uint64_t generation)
{
	struct pa_directory *d = pa_store.directory;
	struct pa_set *s = &d->set[set];

	pa_set_withdraw(set);
	for (unsigned k = 1; k <= PA_IMAGE_KINDS; k++)
		s->region[k - 1] = (struct pa_region) {
			.kind = k, .elem_size = pa_elem_size[k],
			.address = (uint64_t)(uintptr_t)
				pa_store.area[pa_area_of(set, k)].base,
			.capacity = pa_store.capacity.kind[k],
		};
	s->n_regions = PA_IMAGE_KINDS;
	__atomic_store_n(&s->generation, generation, __ATOMIC_RELEASE);
	__atomic_store_n(&s->crc, pa_set_crc(s), __ATOMIC_RELEASE);
	__atomic_store_n(&d->active_set, set, __ATOMIC_RELEASE);
	pa_set_withdraw(!set);
}
