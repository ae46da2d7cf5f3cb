/* SPDX-License-Identifier: MIT
 *
 * Frames without tables (see untabled.h).  Runs while a thread is stopped.
 */
#include "injector/untabled.h"

#include <string.h>

#define SPAN_MAX (64u << 10)	/* of one frame that is followed by pointer */

static const char unknown[] =
	"a thread's stack has frames without unwind data that do not lead back to known code";

static int load_word(void *context, uint64_t address, uint64_t *value)
{
	struct pa_safepoint *safe = context;

	return safe->unwinder.read_stack(safe, address, value, sizeof *value);
}

/* Is it the address behind a call instruction in code of the process? */
static bool is_return_address(struct pa_safepoint *safe, uint64_t address)
{
	const struct pa_map *map = pa_proc_find_map(&safe->modules->maps,
						    address);
	uint8_t bytes[PA_ARCH_RETURN_BYTES];

	return map && map->perms[2] == 'x' && map->perms[0] == 'r' &&
	       address - sizeof bytes >= map->start &&
	       !pa_memory_read_cached(safe->memory, address - sizeof bytes,
				      bytes, sizeof bytes) &&
	       pa_arch_is_after_call(bytes);
}

/* Could a word on the stack be a frame that must not be passed over? */
static bool is_forbidden(struct pa_safepoint *safe, uint64_t word)
{
	const struct pa_module *m = pa_modules_at(safe->modules, word);

	return m && (m->libc_family || m->allocator ||
		     m == safe->modules->loader) &&
	       is_return_address(safe, word);
}

static bool follow_pointer(struct pa_safepoint *safe, uint64_t *r)
{
	const unsigned fp = pa_arch.unwind_fp, sp = pa_arch.unwind_sp;
	uint64_t frame = r[fp], next, ra, word;
	const struct pa_map *map = pa_proc_find_map(&safe->modules->maps,
						    r[sp]);

	if (frame % 8 || frame < r[sp] || frame - r[sp] > SPAN_MAX || !map ||
	    frame + 16 > map->end || load_word(safe, frame, &next) ||
	    load_word(safe, frame + 8, &ra))
		return false;
	for (uint64_t at = (r[sp] + 7) & ~7ull; at < frame; at += 8)
		if (load_word(safe, at, &word) || is_forbidden(safe, word))
			return false;
	r[fp] = next;
	r[sp] = frame + 16;
	r[pa_arch.unwind_ra] = ra;
	return true;
}

/* The end of the function, if that is what comes next. */
static bool run_end(struct pa_safepoint *safe, uint64_t *r)
{
	uint64_t trial[PA_UNWIND_REGS];
	uint8_t code[PA_ARCH_END_BYTES];
	uint64_t pc = r[pa_arch.unwind_ra];
	size_t n = pa_memory_read_some(safe->memory, pc, code, sizeof code);

	memcpy(trial, r, sizeof trial);
	if (!pa_arch_run_end(code, n, trial, load_word, safe))
		return false;
	memcpy(r, trial, sizeof trial);
	return true;
}

const char *pa_untabled_step(struct pa_safepoint *safe, uint64_t *registers)
{
	uint64_t pc = registers[pa_arch.unwind_ra];
	uint64_t old = registers[pa_arch.unwind_sp];
	const struct pa_map *map = pa_proc_find_map(&safe->modules->maps, pc);

	if (!map || map->perms[2] != 'x') {
		safe->stale = true;	/* made since we looked, perhaps */
		return unknown;
	}
	if ((!run_end(safe, registers) && !follow_pointer(safe, registers)) ||
	    registers[pa_arch.unwind_sp] <= old)
		return unknown;
	if (!is_return_address(safe, registers[pa_arch.unwind_ra]))
		return unknown;
	return NULL;
}
