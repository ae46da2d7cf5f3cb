/* SPDX-License-Identifier: MIT
 *
 * Reading and finding directories; pa_target_find_directory() of injector.h
 * is made from this.
 */
#ifndef PA_INJECTOR_DIRECTORY_H
#define PA_INJECTOR_DIRECTORY_H

#include <stdbool.h>

#include "injector/injector.h"
#include "injector/memory.h"

/* Read the directory at an address; false if there is no sound one (where the
 * payload is writing it right now: after 1 ms). */
bool pa_directory_read(const struct pa_memory *memory, uint64_t address,
		       struct pa_directory *directory);

/* Find the directory that shows a start ticket; false if there is none.
 * maps: look beyond the low slots too, which takes longer. */
bool pa_directory_find_ticket(const struct pa_memory *memory, int dir,
			      uint64_t ticket, bool maps, uint64_t *address);

#endif /* PA_INJECTOR_DIRECTORY_H */
