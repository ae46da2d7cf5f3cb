/* SPDX-License-Identifier: MIT
 *
 * Looking at the GIL from outside: is it free, does its holder run bytecode
 * or stand in a C call?  All by reads that a stale address cannot harm;
 * python_take.c acts on it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE	/* process_vm_readv, pipe2 */
#endif
#include "payload/python.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "payload/python_calls.h"
#include "payload/python_layout.h"
#include "payload/python_state.h"
#include "payload/python_walk.h"

/* Code made by the JIT stores its place rarely: look again at once. */
#define LOOKS 16
#define FRAME_BYTES 256u	/* of a frame: fields, locals, values */

/* ---- reading what may be gone ---- */

/* A pipe tells the kernel's opinion of an address too. */
static bool read_through_pipe(const void *address, void *out, size_t size)
{
	bool good = false;
	int ends[2];

	/* another thread may exec meanwhile */
	if (pipe2(ends, O_CLOEXEC) != 0)
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

const char *pa_gil_find(void)
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

static void look_at_instruction(struct pa_gil_look *look)
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

struct pa_gil_look pa_gil_look_at(const char *gil)
{
	const struct pa_layout *l = &pa_layout;
	/* what cannot be seen does not move */
	struct pa_gil_look look = { .locked = 1 };
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

static bool moved(const struct pa_gil_look *a, const struct pa_gil_look *b)
{
	return b->locked != 1 || a->holder != b->holder ||
	       a->switches != b->switches || a->frame != b->frame ||
	       a->code != b->code || a->place != b->place ||
	       a->content != b->content ||
	       (a->in_loop && b->in_loop);
}

bool pa_gil_moves(const char *gil, struct pa_gil_look *before)
{
	for (unsigned i = 0; i < LOOKS; i++) {
		struct pa_gil_look after = pa_gil_look_at(gil);
		bool different = moved(before, &after);

		*before = after;
		if (different)
			return true;
	}
	return false;
}
