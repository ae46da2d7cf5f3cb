/* SPDX-License-Identifier: MIT
 *
 * The safe-point test (see safepoint.h).  A thread is stopped while
 * pa_safepoint_check() runs: it reads what is cached, and the stack.
 */
#include "injector/safepoint.h"

#include <string.h>
#include <time.h>

#include "injector/untabled.h"

#define FRAMES_MAX 20000
#define CHECK_NS_MAX 5000000ull
#define BASE_FRAMES_MAX 2	/* start_thread and clone, or two of main's */
#define KEEP_MODULES 12
#define FIRST_WINDOW 16384u

/* Wrappers of system calls, and waits built on futex: they hold no lock of
 * libc while a thread is in them. */
static const char *const plain_calls[] = {
	"read", "__read", "write", "__write", "readv", "writev", "pread",
	"pread64", "pwrite", "pwrite64", "preadv", "pwritev", "preadv2",
	"pwritev2", "open", "open64", "openat", "openat64", "close", "lseek",
	"lseek64", "stat", "stat64", "fstat", "fstat64", "lstat", "lstat64",
	"fstatat", "fstatat64", "__xstat", "__xstat64", "__fxstat",
	"__fxstat64", "__lxstat", "__lxstat64", "access", "ioctl", "fcntl",
	"fcntl64", "ftruncate", "ftruncate64", "fsync", "fdatasync", "flock",
	"poll", "__poll", "ppoll", "select", "__select", "pselect",
	"epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl",
	"clock_nanosleep", "nanosleep", "__nanosleep", "usleep", "sleep",
	"clock_gettime", "gettimeofday", "time", "sched_yield", "getpid",
	"pthread_cond_wait", "pthread_cond_timedwait", "pthread_cond_clockwait",
	"pthread_cond_signal", "pthread_cond_broadcast",
	"pthread_mutex_lock", "__pthread_mutex_lock", "pthread_mutex_timedlock",
	"pthread_mutex_clocklock", "pthread_mutex_unlock",
	"__pthread_mutex_unlock", "pthread_rwlock_rdlock",
	"pthread_rwlock_wrlock", "sem_wait", "sem_timedwait", "sem_clockwait",
	"sem_trywait", "sem_post", "pthread_join", "pthread_timedjoin_np",
	"pthread_clockjoin_np", "pthread_barrier_wait",
	"accept", "accept4", "connect", "__connect", "recv", "__recv",
	"recvfrom", "recvmsg", "recvmmsg", "send", "__send", "sendto",
	"sendmsg", "sendmmsg", "sendfile", "sendfile64", "splice", "shutdown",
	"wait4", "wait", "__wait", "waitpid", "__waitpid", "waitid", "wait3",
	"syscall", "pause", "sigsuspend", "sigwait", "sigwaitinfo",
	"sigtimedwait", "msgrcv", "msgsnd", "semop", "semtimedop",
	"mq_receive", "mq_timedreceive", "mq_send", "mq_timedsend",
	"eventfd_read", "getrandom", "mmap", "mmap64", "munmap", "madvise",
	"memcpy", "memmove", "memset", "memcmp", "strlen", "strcmp",
};

/* Never, not even at the base of a stack. */
static const char *const never[] = {
	"malloc", "free", "calloc", "realloc", "memalign", "posix_memalign",
	"aligned_alloc", "valloc", "malloc_trim", "mallinfo", "mallinfo2",
	"fork", "_Fork", "vfork", "posix_spawn", "posix_spawnp", "exit",
	"quick_exit", "_exit", "dlopen", "dlclose", "dlsym", "dlvsym", "dlmopen",
	"dladdr", "dl_iterate_phdr", "pthread_create", "pthread_exit",
	"execve", "setuid", "setgid", "setgroups",
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static int read_table(void *context, uint64_t address, void *buffer, size_t n)
{
	struct pa_safepoint *safe = context;

	return pa_memory_read_cached(safe->memory, address, buffer, n);
}

/* Bytes of the stack, from a window that moves up with the frames. */
static int read_stack(void *context, uint64_t address, void *buffer, size_t n)
{
	struct pa_safepoint *safe = context;

	if (address < safe->window_start ||
	    address - safe->window_start + n > safe->window_size) {
		/* a little below: registers are saved in any order */
		safe->window_start = address & ~255ull;
		safe->window_size = pa_memory_read_some(
			safe->memory, safe->window_start, safe->window,
			PA_SAFEPOINT_WINDOW);
	}
	if (address - safe->window_start + n > safe->window_size)
		return -1;
	memcpy(buffer, safe->window + (address - safe->window_start), n);
	return 0;
}

static void add_names(struct pa_safepoint *safe, struct pa_module *module,
		      const char *const *name, size_t names, uint64_t *list,
		      size_t *count)
{
	for (size_t i = 0; i < names; i++)
		*count += pa_module_symbols(module, safe->memory, name[i],
					    list + *count,
					    PA_SAFEPOINT_NAMES - *count, NULL);
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* An allocator that replaces libc's: a library as a whole, or functions of
 * the executable itself. */
static void find_allocators(struct pa_safepoint *safe)
{
	struct pa_modules *modules = safe->modules;

	for (size_t i = 0; i < modules->count; i++) {
		struct pa_module *m = &modules->module[i];

		if (m->libc_family || m == modules->loader ||
		    (!*m->soname && m != modules->exe) ||
		    !pa_module_defines(m, safe->memory, "malloc"))
			continue;
		if (m == modules->exe)
			add_names(safe, m, never, COUNT(never), safe->deny,
				  &safe->deny_count);
		else
			m->allocator = true;
	}
}

static void find_sequence(struct pa_safepoint *safe)
{
	struct pa_module *loader = safe->modules->loader;
	uint64_t at = loader ? pa_module_symbol(loader, safe->memory,
						"__rseq_offset") : 0;
	uint64_t size_at = at ? pa_module_symbol(loader, safe->memory,
						 "__rseq_size") : 0;
	uint32_t size = 0;	/* 0: glibc did not register one */

	safe->has_sequence = size_at &&
		!pa_memory_read(safe->memory, size_at, &size, sizeof size) &&
		size &&
		!pa_memory_read(safe->memory, at, &safe->sequence_offset,
				sizeof safe->sequence_offset);
}

void pa_safepoint_init(struct pa_safepoint *safe, struct pa_memory *memory,
		       struct pa_modules *modules)
{
	unsigned kept = 0;
	uint64_t debug;

	memset(safe, 0, sizeof *safe);
	safe->memory = memory;
	safe->modules = modules;
	safe->unwinder.read_table = read_table;
	safe->unwinder.read_stack = read_stack;
	safe->unwinder.context = safe;
	safe->unwinder.registers = pa_arch.unwind_registers;
	safe->unwinder.sp = pa_arch.unwind_sp;
	safe->unwinder.ra = pa_arch.unwind_ra;
	for (size_t i = 0; i < modules->count; i++) {
		struct pa_module *m = &modules->module[i];
		bool keep = m == modules->exe || m == modules->libc ||
			    !strncmp(m->soname, "libpython", 9);

		if (m->libc_family) {
			add_names(safe, m, plain_calls, COUNT(plain_calls),
				  safe->allow, &safe->allow_count);
			add_names(safe, m, never, COUNT(never), safe->deny,
				  &safe->deny_count);
		}
		pa_module_load_tables(m, &safe->unwinder, memory,
				      keep && kept++ < KEEP_MODULES);
	}
	safe->exe_is_python = modules->exe &&
		pa_module_defines(modules->exe, memory, "Py_IsInitialized");
	find_allocators(safe);
	find_sequence(safe);
	debug = modules->loader ? pa_module_symbol(modules->loader, memory,
						   "_r_debug") : 0;
	safe->link_map_state = debug ? debug + 24 : 0;	/* r_state */
}

static bool is_in(const uint64_t *list, size_t n, uint64_t address)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == address)
			return true;
	return false;
}

static bool refuse(struct pa_safepoint *safe, const char *reason)
{
	safe->reason = reason;
	return false;
}

/* A restartable sequence that is under way would be resumed in its middle. */
static bool in_sequence(struct pa_safepoint *safe, const struct pa_regs *regs)
{
	uint64_t at = pa_arch_thread_pointer(regs) +
		      (uint64_t)safe->sequence_offset + 8;
	uint64_t descriptor, words[4];

	if (!safe->has_sequence ||
	    pa_memory_read(safe->memory, at, &descriptor, 8) || !descriptor)
		return false;
	if (pa_memory_read(safe->memory, descriptor, words, sizeof words))
		return false;
	return pa_arch_pc(regs) - words[1] < words[2];
}

static bool link_map_is_changing(const struct pa_safepoint *safe)
{
	uint32_t state;

	return !safe->link_map_state ||
	       pa_memory_read(safe->memory, safe->link_map_state, &state,
			      sizeof state) || state;
}

static bool has_room(struct pa_safepoint *safe, const struct pa_regs *regs,
		     unsigned below)
{
	uint64_t sp = pa_arch_sp(regs);
	const struct pa_map *map = pa_proc_find_map(&safe->modules->maps, sp);

	if (!map)
		safe->stale = true;
	return map && map->perms[1] == 'w' && map->perms[0] == 'r' &&
	       sp - below >= map->start && sp - below < sp;
}

/* The walk from the innermost frame outwards. */
struct walk {
	uint64_t registers[PA_UNWIND_REGS];
	bool inner;		/* only libc frames so far */
	uint64_t last;		/* function of the outermost of these */
	unsigned base;		/* libc frames since */
};

/* Was libc entered by a call of a plain wrapper?  glibc jumps between its own
 * functions, so the frame's function is asked only where the call itself
 * cannot be decoded. */
static bool entered_plainly(struct pa_safepoint *safe, const struct walk *w,
			    uint64_t return_address)
{
	const struct pa_module *libc = safe->modules->libc;
	uint64_t target = pa_arch_call_target(safe->memory, return_address,
					      libc->start, libc->end);

	return is_in(safe->allow, safe->allow_count,
		     target ? target : w->last);
}

/* Judge one frame that was stepped over; NULL, or the reason against it. */
static const char *judge_frame(struct pa_safepoint *safe, struct walk *w,
			       struct pa_module *m, uint64_t return_address,
			       uint64_t function, bool end)
{
	if (is_in(safe->deny, safe->deny_count, function))
		return "a thread is inside malloc, fork, exit or the like";
	if (m && m->libc_family) {
		if (w->inner)
			w->last = function;
		else
			w->base++;
		return NULL;
	}
	if (w->inner) {
		safe->caller = m;
		if (w->last && !entered_plainly(safe, w, return_address))
			return "a thread is inside a C library function that is not a plain system call";
	}
	w->inner = false;
	/* below libc only the executable's _start may lie */
	if (w->base && (!end || m != safe->modules->exe))
		return "a thread is inside a callback of the C library";
	return NULL;
}

static const char *judge_module(const struct pa_safepoint *safe,
				const struct pa_module *m)
{
	if (!m)
		return NULL;	/* code that was made at run time */
	if (m == safe->modules->loader)
		return "a thread is inside the dynamic loader";
	if (m->allocator)
		return "a thread is inside the allocator";
	return NULL;
}

/* Step over a frame that its module's tables do not cover. */
static const char *step_untabled(struct pa_safepoint *safe, struct walk *w,
				 const struct pa_module *m, bool first)
{
	if (m && (m->libc_family || m->tables.count))
		return "a thread's stack cannot be unwound";
	if (first) {
		safe->stale = !m;
		return "a thread runs code without unwind data";
	}
	return pa_untabled_step(safe, w->registers);
}

/* Step over one frame: NULL, or the reason against it.  *end: it was last. */
static const char *walk_frame(struct pa_safepoint *safe, struct walk *w,
			      bool first, bool *end)
{
	uint64_t ra = w->registers[pa_arch.unwind_ra];
	struct pa_module *m = pa_modules_at(safe->modules,
					    first ? ra : ra - 1);
	const char *reason = judge_module(safe, m);
	enum pa_unwind_result result;
	uint64_t function = 0;

	if (reason)
		return reason;
	result = m ? pa_unwind_step(&safe->unwinder, &m->tables, first,
				    w->registers, &function)
		   : PA_UNWIND_UNKNOWN;
	if (result == PA_UNWIND_SIGNAL)
		return "a thread is inside a signal handler";
	if (result == PA_UNWIND_UNKNOWN) {
		reason = step_untabled(safe, w, m, first);
		safe->lost = reason != NULL;
		if (reason)
			return reason;
	}
	*end = result == PA_UNWIND_END;
	return judge_frame(safe, w, m, ra, function, *end);
}

static bool walk_stack(struct pa_safepoint *safe, const struct pa_regs *regs)
{
	uint64_t started = now_ns();
	struct walk w = { .inner = true };
	bool end = false;

	/* small first: most stacks end soon */
	safe->window_start = pa_arch_sp(regs);
	safe->window_size = pa_memory_read_some(safe->memory,
						safe->window_start,
						safe->window, FIRST_WINDOW);
	pa_arch_unwind_start(regs, w.registers);
	for (safe->frames = 0; !end; safe->frames++) {
		const char *reason = walk_frame(safe, &w, !safe->frames, &end);

		if (reason)
			return refuse(safe, reason);
		if (safe->frames == FRAMES_MAX ||
		    (safe->frames % 64 == 63 &&
		     now_ns() - started > CHECK_NS_MAX))
			return refuse(safe, "a thread's stack is too deep");
	}
	if (w.inner)
		return refuse(safe, "a thread is only inside the C library");
	if (w.base > BASE_FRAMES_MAX)
		return refuse(safe, "a thread is about to end");
	return true;
}

void pa_safepoint_rehearse(struct pa_safepoint *safe, uint64_t pc, uint64_t sp)
{
	struct pa_regs regs;

	pa_arch_guess_regs(&regs, pc, sp);
	walk_stack(safe, &regs);
}

bool pa_safepoint_check(struct pa_safepoint *safe, const struct pa_regs *regs,
			unsigned below)
{
	safe->reason = NULL;
	safe->stale = safe->lost = false;
	safe->caller = NULL;
	safe->frames = 0;
	if (!pa_arch_is_native(regs))
		return refuse(safe, "a thread runs 32-bit code or is stepped");
	if (in_sequence(safe, regs))
		return refuse(safe, "a thread is inside a restartable sequence");
	if (!has_room(safe, regs, below))
		return refuse(safe, "a thread has no room left on its stack");
	if (!walk_stack(safe, regs))
		return false;
	if (link_map_is_changing(safe))
		return refuse(safe, "a library is being loaded");
	return true;
}
