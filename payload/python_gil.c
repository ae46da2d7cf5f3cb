/* SPDX-License-Identifier: MIT
 *
 * Taking the GIL with a bound.  PyGILState_Ensure can be neither bounded nor
 * cancelled, so it is entered only when the GIL is free or its holder is seen
 * to run bytecode: the eval loop then hands it over within milliseconds.  A
 * C call that holds the GIL moves nothing, and is waited out from here.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE	/* process_vm_readv */
#endif
#include "payload/python.h"

#include <errno.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "common/error.h"
#include "payload/python_calls.h"
#include "payload/python_layout.h"
#include "payload/python_state.h"
#include "payload/python_walk.h"

#define SECOND 1000000000ull
#define PAUSE_MIN 1000000ull	/* ns between two looks */
#define PAUSE_MAX 10000000ull
/* Code made by the JIT stores its place rarely: look again at once. */
#define LOOKS 16
#define FRAME_BYTES 256u	/* of a frame: fields, locals, values */

static int ensured;

/* ---- reading what may be gone ---- */

/* A pipe tells the kernel's opinion of an address too. */
static bool read_through_pipe(const void *address, void *out, size_t size)
{
	bool good = false;
	int ends[2];

	if (pipe(ends) != 0)
		return false;
	if (write(ends[1], address, size) == (ssize_t)size)
		good = read(ends[0], out, size) == (ssize_t)size;
	close(ends[0]);
	close(ends[1]);
	return good;
}

bool pa_safe_read(const void *address, void *out, size_t size)
{
	struct iovec to = { out, size }, from = { (void *)address, size };
	int saved = errno;
	ssize_t n;

	n = process_vm_readv(getpid(), &to, 1, &from, 1, 0);
	if (n < 0 && (errno == EPERM || errno == ENOSYS))
		n = read_through_pipe(address, out, size) ? (ssize_t)size : -1;
	errno = saved;
	return n == (ssize_t)size;
}

static const char *safe_pointer(const char *address)
{
	const char *value;

	return address && pa_safe_read(address, &value, sizeof(value)) ?
	       value : NULL;
}

/* ---- looking ---- */

/* What is seen of the GIL at one moment. */
struct look {
	int locked;
	const char *holder;
	unsigned long switches;
	const char *frame, *code;
	uint64_t place;
	uint64_t content;	/* hash of the frame: locals change in loops */
	bool in_loop;	/* at a backward jump: it moves, even if onto itself */
};

static const char *find_gil(void)
{
	const struct pa_layout *l = &pa_layout;
	const char *interpreter;

	if (l->runtime_gil != PA_NONE)
		return pa_python_calls.runtime + l->runtime_gil;
	interpreter = pa_python_calls.interpreter_main();
	return interpreter ? safe_pointer(interpreter + l->interp_gil) : NULL;
}

static const char *safe_innermost(const char *thread)
{
	const struct pa_layout *l = &pa_layout;
	const char *holder;

	if (l->thread_cframe == PA_NONE)
		return safe_pointer(thread + l->thread_frame);
	holder = safe_pointer(thread + l->thread_cframe);
	return holder ? safe_pointer(holder + l->cframe_frame) : NULL;
}

static bool is_loop_opcode(uint8_t opcode)
{
	for (unsigned i = 0; i < sizeof(pa_layout.loop_opcode); i++)
		if (opcode && pa_layout.loop_opcode[i] == opcode)
			return true;
	return false;
}

static void look_at_instruction(struct look *look)
{
	const struct pa_layout *l = &pa_layout;
	const char *instruction, *bytes;
	uint8_t opcode;
	int32_t last;

	if (l->place == PA_PLACE_POINTER) {
		instruction = safe_pointer(look->frame + l->frame_place);
		look->place = (uint64_t)instruction;
	} else {
		if (!pa_safe_read(look->frame + l->frame_place, &last,
				  sizeof(last)))
			return;
		look->place = (uint64_t)(int64_t)last;
		bytes = safe_pointer(look->code + l->code_bytes);
		if (!bytes || last < 0)
			return;
		if (l->place == PA_PLACE_UNITS)
			last *= 2;
		instruction = bytes + l->bytes_data + last;
	}
	look->in_loop = pa_safe_read(instruction, &opcode, sizeof(opcode)) &&
			is_loop_opcode(opcode);
}

static struct look look_at(const char *gil)
{
	const struct pa_layout *l = &pa_layout;
	/* what cannot be seen does not move */
	struct look look = { .locked = 1 };
	char bytes[FRAME_BYTES];

	if (!gil)
		return look;
	pa_safe_read(gil + l->gil_locked, &look.locked, sizeof(look.locked));
	pa_safe_read(gil + l->gil_switches, &look.switches,
		     sizeof(look.switches));
	look.holder = safe_pointer(gil + l->gil_holder);
	look.frame = look.holder ? safe_innermost(look.holder) : NULL;
	if (!look.frame)
		return look;
	look.code = safe_pointer(look.frame + l->frame_code);
	look.code -= (uintptr_t)look.code & l->code_tag;
	look_at_instruction(&look);
	if (pa_safe_read(look.frame, bytes, sizeof(bytes)))
		look.content = pa_hash_bytes(0, bytes, sizeof(bytes));
	return look;
}

static bool moved(const struct look *a, const struct look *b)
{
	return b->locked != 1 || a->holder != b->holder ||
	       a->switches != b->switches || a->frame != b->frame ||
	       a->code != b->code || a->place != b->place ||
	       a->content != b->content ||
	       (a->in_loop && b->in_loop);
}

/* ---- waiting ---- */

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void pause_ns(uint64_t ns)
{
	struct timespec t = { (time_t)(ns / SECOND), (long)(ns % SECOND) };

	nanosleep(&t, NULL);
}

static bool given_up(uint64_t deadline_ns, const int *cancel)
{
	return now() >= deadline_ns ||
	       (cancel && __atomic_load_n(cancel, __ATOMIC_ACQUIRE));
}

static bool finalising(void)
{
	return !pa_python_api.is_initialized() ||
	       pa_python_api.is_finalizing();
}

/* Some looks in a row, each against the one before.  True: it moves. */
static bool moves(const char *gil, struct look *before)
{
	for (unsigned i = 0; i < LOOKS; i++) {
		struct look after = look_at(gil);

		if (moved(before, &after))
			return true;
		*before = after;
	}
	return false;
}

/* Wait until the GIL is free or is seen to move. */
static int watch(uint64_t deadline_ns, const int *cancel)
{
	uint64_t pause = PAUSE_MIN;
	const char *gil = find_gil();
	struct look before = look_at(gil);

	if (before.locked != 1)
		return 0;
	for (;;) {
		if (finalising())
			return PA_E_FINALISING;
		if (given_up(deadline_ns, cancel))
			return PA_E_GIL_TIMEOUT;
		pause_ns(pause);
		if (pause < PAUSE_MAX)
			pause += pause / 2;
		if (moves(gil, &before))
			return 0;
	}
}

int pa_python_gil_take(uint64_t deadline_ns, const int *cancel)
{
	int error = watch(deadline_ns, cancel);

	if (error)
		return error;
	if (finalising())
		return PA_E_FINALISING;
	if (given_up(deadline_ns, cancel))
		return PA_E_GIL_TIMEOUT;
	ensured = pa_python_calls.gil_ensure();
	if (finalising())
		error = PA_E_FINALISING;
	else if (given_up(deadline_ns, cancel))
		error = PA_E_GIL_TIMEOUT;
	if (error)
		pa_python_gil_release();
	return error;
}

void pa_python_gil_release(void)
{
	pa_python_calls.gil_release(ensured);
}
