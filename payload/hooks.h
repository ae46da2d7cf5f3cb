/* SPDX-License-Identifier: MIT
 *
 * The allocator hooks: putting them in, taking them out, telling whether
 * they are still in the chain.  What runs inside a hook is in hooks_hot.c
 * (every allocation) and hooks_slow.c (a sampled one).
 *
 * Hooks keep the ctx of the allocator that was there and ignore it, so that
 * every torn pair of function and ctx is right.  They are never unmapped: a
 * late call finds the saved allocator as it was.
 */
#ifndef PA_PAYLOAD_HOOKS_H
#define PA_PAYLOAD_HOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/image.h"
#include "payload/text.h"

/* Below this rate sampled blocks stay in the pools and free is hooked. */
#define PA_HOOKS_POOL_RATE 4096u

/*
 * Put the hooks in, for the rate that the store has.  With the GIL, in the
 * payload's own thread (marked `ours`), store started.  Sampling begins at
 * once.  0; or PA_E_HOOK_FAILED, or PA_E_LOADING where another copy of the
 * payload is sampling, with the reason; nothing is changed then.
 */
int pa_hooks_install(uint64_t seed, struct pa_text *why);

/* Were some lost again to a swap that was under way?  Put them back.  */
void pa_hooks_confirm(void);

/*
 * Stop sampling and restore the allocators that we are still on top of.
 * No GIL.  PA_HOOKS_OFF, or PA_HOOKS_PASS_THROUGH where somebody is above
 * us, or may be: there the hooks only forward, for good or until the next
 * install.
 */
enum pa_image_hooks pa_hooks_remove(void);

/* ON, or BYPASSED where a hook of ours is not called any more.  No GIL. */
enum pa_image_hooks pa_hooks_state(void);

/* Hook free of MEM and OBJ too where we are on top (a low rate). */
void pa_hooks_hook_free(void);
bool pa_hooks_free_hooked(void);

/* False in a copy of the process that no fork handler ran in. */
bool pa_hooks_same_process(void);

#endif /* PA_PAYLOAD_HOOKS_H */
