/* SPDX-License-Identifier: MIT
 *
 * Strings, frames, nodes and sites: interning, and rebuilds that must lose
 * neither a weight nor a live sample's stack, however many names come, and
 * at whatever instant the process is stopped and looked at.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/store_fixture.h"

static void equal_elements_are_kept_once(void **state)
{
	uint32_t a, b, f, n, s;

	(void)state;
	start_store(PA_MEMORY_MIN, 1);
	a = pa_store_string_locked("name", 4);
	b = pa_store_string_locked("name\0more", 9);
	assert_int_equal(pa_store_string_locked("", 0), 0);
	assert_true(a && b && a != b);
	assert_int_equal(pa_store_string_locked("name", 4), a);
	f = pa_store_frame_locked(a, b, 7, 5);
	assert_int_equal(pa_store_frame_locked(a, b, 7, 5), f);
	assert_int_not_equal(pa_store_frame_locked(a, b, 8, 5), f);
	n = pa_store_node_locked(0, f);
	assert_int_equal(pa_store_node_locked(0, f), n);
	assert_true(pa_store_node_locked(n, f) > n);
	s = pa_store_site_locked(n, 0);
	assert_true(s >= PA_SITE_FIRST);
	assert_int_equal(pa_store_site_locked(n, 0), s);
	assert_int_not_equal(pa_store_site_locked(n, 1), s);
	assert_int_equal(pa_store_site_locked(0, 1), PA_SITE_NO_PYTHON);
	pa_store_stop();
}

static void strings_that_cannot_fit_are_refused(void **state)
{
	static char big[1u << 20];

	(void)state;
	start_store(PA_MEMORY_MIN, 1);
	memset(big, 'x', sizeof(big));
	assert_int_equal(pa_store_string_locked(big, sizeof(big)), 0);
	assert_false(pa_store_make_room_locked());
	assert_true(pa_store_string_locked(big, 10000) != 0);
	start_store(16u << 20, 1);
	assert_true(pa_store_string_locked(big, 65536) != 0);
	pa_store_stop();
}

/* ---- many names ---- */

#define LIVE_MAX 600

struct churn {
	uint64_t next;
	uint64_t number[LIVE_MAX];	/* of the stack; 0: none */
};

static uint64_t churn_address(unsigned i)
{
	return 0x7f1200000010ull + i * 4800ull;
}

/* One more name: its block stays for a while, an older one goes. */
static void churn_step(struct churn *churn, unsigned live)
{
	unsigned i = (unsigned)below(live);
	uint64_t at = churn_address(i);
	struct pa_sample s;

	if (churn->number[i]) {
		struct pa_live removed;
		bool had = pa_store_remove_locked(at, &removed);

		/* a realloc that failed, with a rebuild in between or not */
		if (had && below(10) == 0) {
			pa_store_make_room_locked();
			pa_store_restore_locked(&removed);
			if (removed.site >= PA_SITE_FIRST)
				return;
			pa_store_remove_locked(at, NULL);
		}
		churn->number[i] = 0;
	}
	pa_store_make_room_locked();
	s = make_sample(at, below(5000), make_stack(++churn->next, 3));
	if (pa_store_insert_locked(&s))
		churn->number[i] = churn->next;
}

/* Every live sample has its own stack still, or one of the fixed sites. */
static uint64_t check_stacks(const struct churn *churn, unsigned live)
{
	struct image m = live_image();
	uint64_t found = 0;

	check_totals(&m);
	for (unsigned i = 0; i < live; i++)
		for (uint64_t k = 1; churn->number[i]
		     && k < m.n[PA_KIND_LIVE]; k++) {
			const struct pa_live *r = &m.live[k];
			const char *wrong;

			if (r->address != churn_address(i))
				continue;
			if (r->site < PA_SITE_FIRST) {
				assert_true(r->site == PA_SITE_FULL
					    || r->site == PA_SITE_EVICTED);
				break;
			}
			wrong = check_stack(&m, m.sites[r->site].node,
					    churn->number[i]);
			if (wrong)
				fail_msg("%s", wrong);
			found++;
			break;
		}
	return found;
}

static void churn_names(uint64_t memory_max, unsigned live, unsigned names)
{
	static struct churn churn;
	struct pa_directory *d;
	uint64_t found = 0;

	memset(&churn, 0, sizeof(churn));
	start_store(memory_max, 4096);
	d = pa_store_directory();
	while (churn.next < names) {
		churn_step(&churn, live);
		if (churn.next % (names / 20) == 0)
			found = check_stacks(&churn, live);
		assert_true(d->memory_used <= memory_max);
	}
	printf("# %llu KiB, %u live: %llu rebuilds, %llu evicted, %llu full, "
	       "%llu of %llu live with their stack\n",
	       (unsigned long long)memory_max >> 10, live,
	       (unsigned long long)d->rebuilds,
	       (unsigned long long)d->sites_evicted,
	       (unsigned long long)d->stacks_full, (unsigned long long)found,
	       (unsigned long long)d->samples_live);
	assert_true(d->rebuilds > 10);
	assert_true(d->sites_evicted + d->stacks_full > names / 2);
	assert_int_equal(d->dropped, 0);
	if (live <= 100)
		assert_int_equal(d->stacks_full, 0);
	pa_store_stop();
}

static void a_million_names_lose_nothing(void **state)
{
	(void)state;
	churn_names(1u << 20, 100, 1000000);
	churn_names(4u << 20, 100, 1000000);
}

static void more_live_stacks_than_fit_lose_nothing(void **state)
{
	(void)state;
	churn_names(1u << 20, LIVE_MAX, 300000);
	churn_names(2u << 20, LIVE_MAX, 300000);
}

/* The site that allocates most stays, though it has nothing live. */
static void largest_sites_survive(void **state)
{
	struct pa_directory *d;
	struct pa_sample s;
	uint32_t site;

	(void)state;
	start_store(PA_MEMORY_MIN, 4096);
	d = pa_store_directory();
	site = make_stack(0, 3);
	s = make_sample(64, 1u << 30, site);
	assert_true(pa_store_insert_locked(&s));
	assert_true(pa_store_remove_locked(64, NULL));
	for (uint64_t i = 1; d->rebuilds < 20; i++) {
		pa_store_make_room_locked();
		s = make_sample(64, 100, make_stack(i, 2));
		pa_store_insert_locked(&s);
		assert_true(i < 100000);
	}
	assert_int_equal(make_stack(0, 3), site);
	assert_int_equal(pa_store.sites[site].allocated_samples, 1);
	pa_store_stop();
}

/* Everything is live and full: no rebuild can help, so none is tried for
 * each sample; once samples end, room is made again. */
static void no_storm_when_nothing_can_go(void **state)
{
	struct pa_directory *d;
	uint64_t before, i;
	struct pa_sample s;

	(void)state;
	start_store(PA_MEMORY_MIN, 4096);
	d = pa_store_directory();
	for (i = 1; i <= 2000; i++) {
		pa_store_make_room_locked();
		s = make_sample(i * 64, 5000, make_stack(i, 3));
		pa_store_insert_locked(&s);
	}
	assert_true(d->stacks_full > 1000);
	assert_true(d->rebuilds < 10);
	for (i = 1; i <= 2000; i++)
		pa_store_remove_locked(i * 64, NULL);
	before = d->stacks_full;
	for (i = 3000; i <= 4000; i++) {
		pa_store_make_room_locked();
		s = make_sample(64, 5000, make_stack(i, 3));
		pa_store_insert_locked(&s);
	}
	assert_int_equal(d->stacks_full, before);
	pa_store_stop();
}

static void deep_stacks_and_long_names_rebuild(void **state)
{
	static char name[9000];
	struct pa_directory *d;

	(void)state;
	start_store(PA_MEMORY_MIN, 4096);
	d = pa_store_directory();
	for (uint64_t i = 0; i < 3000; i++) {
		struct pa_sample s;
		uint32_t site;

		pa_store_make_room_locked();
		memset(name, 'a' + (int)(i % 26), sizeof(name));
		pa_store_string_locked(name, (uint32_t)below(sizeof(name)));
		site = make_stack(i, (unsigned)below(1024) + 1);
		s = make_sample(64, 5000, site);
		pa_store_insert_locked(&s);
		if (i % 100 == 0) {
			struct image m = live_image();

			check_totals(&m);
		}
	}
	assert_true(d->rebuilds > 5);
	assert_true(d->stacks_full < 3000);
	pa_store_stop();
}

/* ---- stopped at any instant ---- */

/* Endless work in a child, with live samples whose stack's number is part of
 * their address. */
static void work_for_ever(void)
{
	uint64_t numbers[64] = { 0 };

	start_store(PA_MEMORY_MIN, 4096);
	for (uint64_t i = 1;; i++) {
		unsigned k = (unsigned)below(64);
		struct pa_sample s;

		pa_store_lock();
		if (numbers[k])
			pa_store_remove_locked(numbers[k] << 8 | 0x10, NULL);
		pa_store_make_room_locked();
		numbers[k] = i;
		s = make_sample(i << 8 | 0x10, 4000, make_stack(i, 3));
		pa_store_insert_locked(&s);
		pa_store_unlock();
	}
}

struct reader {
	int memory;
	struct pa_directory d;
	char region[PA_IMAGE_KINDS + 1][1u << 18];
};

static bool set_is_valid(const struct pa_set *s)
{
	return s->generation && s->crc == pa_set_crc(s);
}

/* The image of a stopped process, as a core reader takes it. */
static struct image read_image(struct reader *r, uint64_t at)
{
	struct image m = { .d = &r->d };
	const struct pa_set *set = NULL;

	assert_int_equal(pread(r->memory, &r->d, sizeof(r->d), (off_t)at),
			 sizeof(r->d));
	for (int i = 0; i < 2; i++)
		if (set_is_valid(&r->d.set[i]) && (!set
		    || r->d.set[i].generation > set->generation))
			set = &r->d.set[i];
	assert_non_null(set);
	for (unsigned k = 1; k <= PA_IMAGE_KINDS; k++) {
		const struct pa_region *g = &set->region[k - 1];
		uint64_t n = r->d.count[set - r->d.set][k - 1];
		ssize_t bytes = (ssize_t)(n * g->elem_size);

		assert_int_equal(g->kind, k);
		assert_true(n <= g->capacity);
		assert_true(bytes <= (ssize_t)sizeof(r->region[k]));
		assert_int_equal(pread(r->memory, r->region[k],
				       (size_t)bytes, (off_t)g->address),
				 bytes);
		m.n[k] = n;
	}
	m.sites = (void *)r->region[PA_KIND_SITES];
	m.strings = r->region[PA_KIND_STRINGS];
	m.frames = (void *)r->region[PA_KIND_FRAMES];
	m.nodes = (void *)r->region[PA_KIND_NODES];
	m.live = (void *)r->region[PA_KIND_LIVE];
	return m;
}

static unsigned check_torn(const struct image *m)
{
	unsigned torn = 0;

	for (uint64_t i = 1; i < m->n[PA_KIND_LIVE]; i++) {
		const struct pa_live *r = &m->live[i];
		const char *wrong;

		if (!r->seq || (r->seq % 2 == 0 && !r->address))
			continue;
		if (r->seq & 1) {
			torn++;
			continue;
		}
		assert_int_equal(r->check, live_check(r));
		assert_true(r->site < m->n[PA_KIND_SITES]);
		if (r->site < PA_SITE_FIRST)
			continue;
		wrong = check_stack(m, m->sites[r->site].node,
				    r->address >> 8);
		if (wrong)
			fail_msg("%s", wrong);
	}
	return torn;
}

static void any_instant_shows_one_image(void **state)
{
	static struct reader reader;
	unsigned torn = 0, odd = 0;
	char path[64];
	uint64_t at;
	pid_t pid;

	(void)state;
	assert_int_equal(pa_store_map_directory(), 0);
	at = (uint64_t)(uintptr_t)pa_store_directory();
	start_store(PA_MEMORY_MIN, 4096);
	pid = fork();
	if (pid == 0)
		work_for_ever();
	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	reader.memory = open(path, O_RDONLY);
	assert_true(reader.memory >= 0);
	for (int i = 0; i < 400; i++) {
		struct timespec pause = { 0, (long)below(2000000) };
		struct image m;
		int status;

		nanosleep(&pause, NULL);
		kill(pid, SIGSTOP);
		assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
		assert_true(WIFSTOPPED(status));
		m = read_image(&reader, at);
		i -= i == 0 && m.d->samples_taken < 1000;
		torn = check_torn(&m);
		assert_true(torn <= 1);
		odd += torn;
		kill(pid, SIGCONT);
	}
	printf("# 400 stops, %llu rebuilds, %u torn records seen\n",
	       (unsigned long long)reader.d.rebuilds, odd);
	assert_true(reader.d.rebuilds > 20);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(reader.memory);
	pa_store_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_elements_are_kept_once),
		cmocka_unit_test(strings_that_cannot_fit_are_refused),
		cmocka_unit_test(a_million_names_lose_nothing),
		cmocka_unit_test(more_live_stacks_than_fit_lose_nothing),
		cmocka_unit_test(largest_sites_survive),
		cmocka_unit_test(no_storm_when_nothing_can_go),
		cmocka_unit_test(deep_stacks_and_long_names_rebuild),
		cmocka_unit_test(any_instant_shows_one_image),
	};

	return RUN_WITH_SEED(tests);
}
