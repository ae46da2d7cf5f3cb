/* SPDX-License-Identifier: MIT
 *
 * Is there room in a target for what a payload needs?  Reads limits only.
 */
#ifndef PA_INJECTOR_ROOM_H
#define PA_INJECTOR_ROOM_H

#include <stddef.h>
#include <stdint.h>

#include "injector/injector.h"
#include "injector/proc.h"

/* What the payload takes besides the tables of --max-memory. */
#define PA_ROOM_EXTRA (4u << 20)
/* The same where its tables are mapped already: stacks. */
#define PA_ROOM_AGAIN (1u << 20)
#define PA_ROOM_MAPPINGS 48
#define PA_ROOM_DESCRIPTORS 5

/*
 * 0, or the error of the first limit that is too tight.  dir: /proc/PID; of a
 * payload that was detached in it the tables are still mapped, but empty.
 */
int pa_room_check(int dir, const struct pa_target *target,
		  const struct pa_proc_status *status, uint64_t room,
		  size_t mappings, struct pa_diag *diag);

/* 0, or PA_E_FROZEN. */
int pa_room_check_frozen(int dir, pid_t pid, struct pa_diag *diag);

#endif /* PA_INJECTOR_ROOM_H */
