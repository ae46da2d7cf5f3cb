/* SPDX-License-Identifier: MIT
 *
 * The life of the payload: its stage, and the one thread of ours, which
 * leaves before a fork and comes back after it.
 *
 * os.fork() of Python 3.12+ counts the threads of the process and warns
 * where there is more than one: ours must not be there.
 */
#ifndef PA_PAYLOAD_LIFE_H
#define PA_PAYLOAD_LIFE_H

#include <stdbool.h>
#include <stdint.h>

enum pa_stage {
	PA_STAGE_IDLE = 0,	/* never attached, detached, failed */
	PA_STAGE_STARTING,
	PA_STAGE_ATTACHED,
};

extern int pa_life_stage;	/* enum pa_stage, atomic */
extern int pa_life_leave;	/* 1: the thread is asked to leave */

enum pa_thread_state { PA_THREAD_NONE, PA_THREAD_PRESENT, PA_THREAD_AWAY };
extern int pa_life_thread;	/* enum pa_thread_state, atomic */

/* IDLE to STARTING, for one caller only. */
bool pa_life_claim(void);

/* At pa_start: who may start the thread anew later, every thread or only
 * the calling one. */
void pa_life_makers(bool few);

/* Start the thread: detached, small stack, every signal blocked that may
 * be.  Any thread of the target.  0 or -PA_E_NO_THREAD_LEFT. */
int pa_life_spawn(void);

/* Last act of the thread: gone for a fork, or for good (stage IDLE). */
void pa_life_left(void);
void pa_life_ended(void);

/* Before a fork: ask the thread to leave and see it gone; bounded. */
void pa_life_send_away(void);
/* After it, in the parent: have it come back. */
void pa_life_call_back(void);
/* In the child. */
void pa_life_reset(void);

/* In a slow path, no lock held: bring the thread back if it is overdue. */
void pa_life_bring_back(void);
static inline void pa_life_nudge(void)
{
	if (__builtin_expect(__atomic_load_n(&pa_life_thread, __ATOMIC_RELAXED)
			     == PA_THREAD_AWAY, 0))
		pa_life_bring_back();
}

#endif /* PA_PAYLOAD_LIFE_H */
