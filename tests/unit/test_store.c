/* SPDX-License-Identifier: MIT
 *
 * The store's ground: where it is mapped, the lock, CRC, and that nothing is
 * left of it.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/store_fixture.h"

/* ---- CRC ---- */

static uint32_t crc_by_bits(uint32_t crc, const unsigned char *p, size_t n)
{
	for (crc = ~crc; n; n--)
		for (int bit = (crc ^= *p++, 0); bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	return ~crc;
}

static void crc_is_that_of_zlib(void **state)
{
	unsigned char bytes[300];

	(void)state;
	assert_int_equal(pa_crc32(0, "123456789", 9), 0xcbf43926u);
	assert_int_equal(pa_crc32(7, "", 0), 7);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)below(256);
	for (size_t at = 0; at < 9; at++)
		for (size_t n = 0; n < 100; n++)
			assert_int_equal(pa_crc32(5, bytes + at, n),
					 crc_by_bits(5, bytes + at, n));
}

/* ---- the lock ---- */

static uint64_t shared_count;

static void *count_up(void *unused)
{
	(void)unused;
	for (int i = 0; i < 50000; i++) {
		pa_store_lock();
		shared_count++;
		pa_store_unlock();
	}
	return NULL;
}

static void lock_excludes(void **state)
{
	pthread_t threads[4];

	(void)state;
	errno = 12345;
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_up,
						NULL), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(shared_count, 200000);
	errno = 4321;
	pa_store_lock();
	pa_store_unlock();
	assert_int_equal(errno, 4321);
}

/* What f returns in a fork child. */
static int in_child(int (*f)(void))
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(f());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int lock_anew(void)
{
	pa_store_lock_reset();
	pa_store_lock();
	return 42;
}

static void lock_is_free_in_a_fork_child(void **state)
{
	(void)state;
	pa_store_lock();
	assert_int_equal(in_child(lock_anew), 42);
	pa_store_unlock();
}

/* ---- a signal handler that forked amid a change ---- */

static bool has_lock, gave_back;

/* Keeps the lock until the first thread waits for it. */
static void *hold_until_wanted(void *unused)
{
	char name[64], text[64];
	long call = -1;

	pa_store_lock();
	__atomic_store_n(&has_lock, true, __ATOMIC_RELEASE);
	snprintf(name, sizeof(name), "/proc/self/task/%d/syscall", getpid());
	while (call != SYS_futex) {
		FILE *f = fopen(name, "r");

		call = fgets(text, sizeof(text), f) ? atol(text) : -1;
		fclose(f);
	}
	gave_back = true;
	pa_store_unlock();
	return unused;
}

/* The child's only thread gives back what the reset took from it, while
 * another one has the lock. */
static int give_back_late(void)
{
	pthread_t thread;
	bool good;

	pa_store_lock_reset();
	if (pthread_create(&thread, NULL, hold_until_wanted, NULL) != 0)
		return 1;
	while (!__atomic_load_n(&has_lock, __ATOMIC_ACQUIRE))
		sched_yield();
	pa_store_unlock();
	pa_store_lock();
	good = gave_back;
	pa_store_unlock();
	pthread_join(thread, NULL);
	return good ? 42 : 2;
}

static void lock_of_another_is_not_given_back(void **state)
{
	(void)state;
	pa_store_lock();
	assert_int_equal(in_child(give_back_late), 42);
	pa_store_unlock();
}

static bool holds_zeros(enum pa_area_id id)
{
	const struct pa_area *a = &pa_store.area[id];

	for (size_t i = 0; i < a->bytes; i++)
		if (a->base[i])
			return false;
	return true;
}

/* As a fork amid a start finds it: tables with something in them, but not
 * running; what was under way is. */
static int start_again(void)
{
	struct pa_sample s;

	pa_store.running = false;
	pa_store.copying = pa_store.thinning = true;
	pa_store.live_free = pa_store.thin_cursor = 77;
	pa_store_lock_reset();
	start_store(PA_MEMORY_MIN, 1);
	if (!holds_zeros(PA_AREA_LIVE_INDEX) || !holds_zeros(PA_AREA_LIVE)
	    || !holds_zeros(PA_AREA_NODE_INDEX) || pa_store.copying)
		return 1;
	s = make_sample(0x1000, 10, make_stack(1, 3));
	return pa_store_insert_locked(&s)
		&& pa_store_directory()->samples_live == 1 ? 42 : 2;
}

static void start_after_a_torn_one_is_clean(void **state)
{
	struct pa_sample s;

	(void)state;
	start_store(PA_MEMORY_MIN, 1);
	for (unsigned i = 1; i < 100; i++) {
		s = make_sample(i * 0x1000, 10, make_stack(i, 3));
		assert_true(pa_store_insert_locked(&s));
	}
	pa_store_lock();
	assert_int_equal(in_child(start_again), 42);
	pa_store_unlock();
	pa_store_stop();
}

/* ---- mappings ---- */

static unsigned count_mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned lines = 0;
	int c;

	while ((c = getc(f)) != EOF)
		lines += c == '\n';
	fclose(f);
	return lines;
}

static bool is_readable(const void *address)
{
	int pipes[2];
	bool readable;

	assert_int_equal(pipe(pipes), 0);
	readable = write(pipes[1], address, 1) == 1;
	close(pipes[0]);
	close(pipes[1]);
	return readable;
}

/* AddressSanitizer's shadow lies over all of them. */
static bool some_slot_is_free(void)
{
	for (unsigned k = 0; k < PA_SLOT_COUNT; k++) {
		char *at = (char *)(PA_SLOT_FIRST + k * PA_SLOT_STEP);
		char *p = mmap(at, 4096, PROT_NONE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		munmap(p, 4096);
		if (p == at)
			return true;
	}
	return false;
}

static void directory_lies_at_a_slot(void **state)
{
	struct pa_directory *d;
	uint64_t at;
	char *p;

	(void)state;
	if (!some_slot_is_free())
		LEAVE_OUT("no low slot is free in this process");
	assert_int_equal(pa_store_map_directory(), 0);
	d = pa_store_directory();
	at = (uint64_t)(uintptr_t)d;
	assert_int_equal((at - PA_SLOT_FIRST) % PA_SLOT_STEP, 0);
	assert_true((at - PA_SLOT_FIRST) / PA_SLOT_STEP < PA_SLOT_COUNT);
	assert_true(d->flags & PA_FLAG_LOW_SLOT);
	assert_memory_equal(d->magic, PA_IMAGE_MAGIC, 16);
	assert_int_equal(d->self, at);
	assert_int_equal(d->endian, PA_IMAGE_ENDIAN);
	assert_int_equal(d->pid, getpid());
	assert_true(d->start_time > 0);
	assert_int_equal(d->identity_crc, crc_by_bits(
		0, (unsigned char *)d, offsetof(struct pa_directory,
						identity_crc)));
	p = (char *)d;
	assert_true(is_readable(p));
	assert_false(is_readable(p - 1));
	assert_false(is_readable(p + PA_IMAGE_PAGE));
	/* once in a life */
	assert_int_equal(pa_store_map_directory(), 0);
	assert_ptr_equal(pa_store_directory(), d);
}

/* All slots are taken, by maps that a reader could not mistake for ours: the
 * failed step, or 0. */
static int map_elsewhere(void)
{
	struct pa_directory *d;

	for (unsigned k = 0; k < PA_SLOT_COUNT; k++)
		mmap((void *)(PA_SLOT_FIRST + k * PA_SLOT_STEP), 4096,
		     PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(&pa_store, 0, sizeof(pa_store));
	if (pa_store_map_directory() != 0)
		return 1;
	d = pa_store_directory();
	if (d->flags & PA_FLAG_LOW_SLOT)
		return 2;
	if ((uintptr_t)d % (2u << 20) || is_readable((char *)d - 1)
	    || is_readable((char *)d + 4096))
		return 3;
	return pa_store_start(PA_MEMORY_MIN) == 0 ? 0 : 4;
}

static void directory_lies_anywhere_if_slots_are_taken(void **state)
{
	(void)state;
	assert_int_equal(in_child(map_elsewhere), 0);
}

/* A directory as another copy of the payload would have it. */
static struct pa_directory *other_directory(unsigned slot, pid_t pid)
{
	char *at = (char *)(PA_SLOT_FIRST + slot * PA_SLOT_STEP);
	struct pa_directory *d = mmap(at, 4096, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
				      -1, 0);

	memcpy(d->magic, PA_IMAGE_MAGIC, sizeof(d->magic));
	d->self = (uint64_t)(uintptr_t)d;
	d->pid = (uint32_t)pid;
	return d;
}

/* At slot 1, between two others: the failed step, or 0. */
static int meet_rivals(void)
{
	struct pa_directory *low, *high;

	memset(&pa_store, 0, sizeof(pa_store));
	low = other_directory(0, getpid());
	if (pa_store_map_directory() != 0)
		return 1;
	if ((uintptr_t)pa_store_directory() != PA_SLOT_FIRST + PA_SLOT_STEP)
		return 2;
	pa_store_directory()->state = PA_STATE_STARTING;
	high = other_directory(2, getpid());
	if (pa_store_find_rival() != PA_RIVAL_NONE)
		return 3;
	/* it may have looked at us before we said that we start */
	high->state = PA_STATE_STARTING;
	if (pa_store_find_rival() != PA_RIVAL_UNDECIDED)
		return 4;
	high->state = PA_STATE_ATTACHED;
	if (pa_store_find_rival() != PA_RIVAL_AHEAD)
		return 5;
	high->state = PA_STATE_FAILED;
	if (pa_store_find_rival() != PA_RIVAL_NONE)
		return 6;
	low->state = PA_STATE_STARTING;
	if (pa_store_find_rival() != PA_RIVAL_AHEAD)
		return 7;
	high->state = PA_STATE_STARTING;
	if (pa_store_find_rival() != PA_RIVAL_AHEAD)
		return 8;
	/* copied by a fork: no copy of the payload of this process */
	low->pid = high->pid = (uint32_t)getppid();
	return pa_store_find_rival() == PA_RIVAL_NONE ? 0 : 9;
}

static void rivals_are_told_apart(void **state)
{
	(void)state;
	if (!some_slot_is_free())
		LEAVE_OUT("no low slot is free in this process");
	assert_int_equal(in_child(meet_rivals), 0);
}

static uint64_t resident_bytes(const char *from, size_t bytes)
{
	static unsigned char seen[(1u << 30) / 4096];
	uint64_t sum = 0;

	assert_int_equal(mincore((void *)(uintptr_t)from, bytes, seen), 0);
	for (size_t i = 0; i < bytes / 4096; i++)
		sum += (seen[i] & 1) * 4096ull;
	return sum;
}

static void sizes_fit_every_limit(void **state)
{
	(void)state;
	for (uint64_t max = PA_MEMORY_MIN; max <= PA_MEMORY_LIMIT;
	     max += max / 7 + below(100000)) {
		struct pa_store trial;
		size_t bytes = pa_store_lay_out(&trial, max, NULL);

		assert_true(bytes + PA_STORE_OVERHEAD <= max);
		assert_true(bytes + PA_STORE_OVERHEAD
			    >= max - max / 15 - 40000);
		for (unsigned k = 1; k <= PA_IMAGE_KINDS; k++)
			assert_true(trial.capacity.kind[k] >= 400);
	}
	assert_int_not_equal(pa_store_start(PA_MEMORY_MIN - 1), 0);
	assert_int_not_equal(pa_store_start(PA_MEMORY_LIMIT + 1), 0);
}

static void cycles_leave_no_mapping(void **state)
{
	unsigned first = 0;
	size_t bytes;

	(void)state;
	for (int cycle = 0; cycle < 50; cycle++) {
		char *p;

		start_store(4u << 20, 1000);
		p = pa_store_code_cache(&bytes);
		for (size_t i = 0; i < bytes; i++)
			assert_int_equal(p[i], 0);
		memset(p, 1, bytes);
		for (uint64_t i = below(40000); i; i--) {
			struct pa_sample s = make_sample(
				i * 64, 10, make_stack(i, 3));

			pa_store_insert_locked(&s);
		}
		assert_true(pa_store.directory->memory_used <= 4u << 20);
		assert_true(resident_bytes(pa_store.arena,
					   pa_store.arena_bytes)
			    <= pa_store.directory->memory_used);
		pa_store_stop();
		assert_int_equal(resident_bytes(pa_store.arena,
						pa_store.arena_bytes), 0);
		if (cycle == 0)
			first = count_mappings();
	}
	assert_int_equal(count_mappings(), first);
	for (unsigned i = 0; i < 8192; i++)
		assert_int_equal(pa_store_bitmap[i], 0);
}

/* madvise cannot give back what the application has locked. */
static void locked_memory_is_emptied(void **state)
{
	struct pa_sample s;

	(void)state;
	start_store(PA_MEMORY_MIN, 1);
	if (mlock(pa_store.arena, pa_store.arena_bytes) != 0)
		LEAVE_OUT("this process may not lock memory");
	s = make_sample(64, 10, make_stack(1, 3));
	assert_true(pa_store_insert_locked(&s));
	pa_store_stop();
	for (size_t i = 0; i < pa_store.arena_bytes; i++)
		assert_int_equal(pa_store.arena[i], 0);
	munlock(pa_store.arena, pa_store.arena_bytes);
}

static void nothing_happens_after_stop(void **state)
{
	struct pa_sample s;
	struct pa_live removed;
	const void *image;
	size_t bytes;

	(void)state;
	start_store(PA_MEMORY_MIN, 1);
	s = make_sample(0x1000, 10, PA_SITE_NO_PYTHON);
	assert_true(pa_store_insert_locked(&s));
	assert_true(pa_store_remove_locked(0x1000, &removed));
	pa_store_stop();
	assert_false(pa_store_insert_locked(&s));
	assert_false(pa_store_remove_locked(0x1000, NULL));
	pa_store_restore_locked(&removed);
	assert_int_equal(pa_store_string_locked("x", 1), 0);
	assert_int_equal(pa_store_frame_locked(0, 0, 1, 1), 0);
	assert_int_equal(pa_store_node_locked(0, 1), 0);
	assert_int_equal(pa_store_site_locked(1, 0), PA_SITE_FULL);
	assert_false(pa_store_make_room_locked());
	assert_true(pa_store_snapshot_begin(&image, &bytes) < 0);
	pa_store_snapshot_end();
	/* nor does a record of an earlier start come back */
	start_store(PA_MEMORY_MIN, 1);
	pa_store_restore_locked(&removed);
	assert_int_equal(pa_store_directory()->samples_live, 0);
	pa_store_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc_is_that_of_zlib),
		cmocka_unit_test(directory_lies_at_a_slot),
		cmocka_unit_test(directory_lies_anywhere_if_slots_are_taken),
		cmocka_unit_test(lock_excludes),
		cmocka_unit_test(lock_is_free_in_a_fork_child),
		cmocka_unit_test(lock_of_another_is_not_given_back),
		cmocka_unit_test(start_after_a_torn_one_is_clean),
		cmocka_unit_test(sizes_fit_every_limit),
		cmocka_unit_test(rivals_are_told_apart),
		cmocka_unit_test(cycles_leave_no_mapping),
		cmocka_unit_test(nothing_happens_after_stop),
		cmocka_unit_test(locked_memory_is_emptied),
	};

	return RUN_WITH_SEED(tests);
}
