/* SPDX-License-Identifier: MIT
 *
 * Where a thread called fork, and whether it is in that call still.  3.13 and
 * 3.14 first counted the threads after the program's own callbacks
 * (os.register_at_fork): whoever comes back in one of those is counted.
 */
#include "payload/python.h"

#include "payload/python_calls.h"
#include "payload/python_layout.h"
#include "payload/python_walk.h"

#define CALLBACK_DEPTH_MAX 256	/* frames */

/* The frame and its instruction; with the GIL. */
static const char *frame_of_fork, *place_of_fork;

static const char *innermost(void)
{
	const char *thread = pa_python_calls.thread_unchecked();

	return thread && pa_python_stacks_on() ? pa_frames_innermost(thread)
		: NULL;
}

static const char *place_of(const char *frame)
{
	return pa_field_pointer(frame, pa_layout.frame_place);
}

void pa_python_note_fork(void)
{
	frame_of_fork = innermost();
	place_of_fork = frame_of_fork ? place_of(frame_of_fork) : NULL;
}

bool pa_python_amid_fork(void)
{
	const char *frame = innermost();

	if (!frame_of_fork || frame == frame_of_fork)
		return false;
	for (int i = 0; frame && i < CALLBACK_DEPTH_MAX; i++) {
		if (frame == frame_of_fork)
			return place_of(frame) == place_of_fork;
		frame = pa_field_pointer(frame, pa_layout.frame_previous);
	}
	return false;
}
