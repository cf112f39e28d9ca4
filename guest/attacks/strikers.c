// SPDX-License-Identifier: GPL-2.0
/* An owner of the whole area dies, while threads do something to its memory. */
#define _GNU_SOURCE
#include "attacks.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define VMSTAT		"/proc/vmstat"

/* Deaths at least: by an exit and by a kill, with memory that the owner has mapped and not */
#define DEATHS		4

static volatile int stop, dying;

/*
 * Whether a call took place within a walk, or a walk within it, is seen by the first lock of the
 * list and by the last one, before and after. Each is marked once.
 */
static void *strike_on(void *argument)
{
	struct striker *striker = argument;
	bool began, ended, effect;
	long long count = 0;

	while (striker->when_dying && !dying)
		sleep_ns(100000);
	while (!stop) {
		if (striker->ready)
			striker->ready();
		if (striker->counter)
			count = number_in(VMSTAT, striker->counter);
		began = is_marked(0);
		effect = striker->strike();
		ended = is_marked(last_of(PARTS - 1));
		if (striker->counter)
			effect = effect && number_in(VMSTAT, striker->counter) > count;
		if (effect) {
			striker->effects++;
			striker->met += began != ended;
		}
		__atomic_fetch_add(&striker->calls, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static bool all_met(const struct deaths *deaths)
{
	for (int i = 0; i < deaths->count; i++)
		if (!deaths->strikers[i].met)
			return false;
	return true;
}

/* At once, those that begin early */
static void start_strikers(const struct deaths *deaths)
{
	unsigned long calls;

	stop = 0;
	dying = 0;
	for (int i = 0; i < deaths->count; i++) {
		struct striker *striker = &deaths->strikers[i];

		calls = __atomic_load_n(&striker->calls, __ATOMIC_SEQ_CST);
		start_thread(&striker->thread, strike_on, striker);
		if (!striker->when_dying)
			await(__atomic_load_n(&striker->calls, __ATOMIC_SEQ_CST) != calls);
	}
}

static void stop_strikers(const struct deaths *deaths)
{
	stop = 1;
	dying = 1;
	for (int i = 0; i < deaths->count; i++)
		pthread_join(deaths->strikers[i].thread, NULL);
}

static void run_death(const struct deaths *deaths, int number)
{
	pid_t owner, tid;

	make_area(deaths->sharing, deaths->locks, PARTS, AREA_WAITING);
	add_spare_waiters(1);
	if (deaths->prepare)
		deaths->prepare();
	fill_gaps();
	owner = start_owner(deaths->sharing, number & 2);
	tid = owners->tids[0];
	start_strikers(deaths);
	if (deaths->before)
		deaths->before(owner);
	dying = 1;
	/* Up to five milliseconds, so that it comes at any time of what begins now. */
	sleep_ns((number * 7 % 16) * 333333L);
	let_die(owner, number & 1);
	stop_strikers(deaths);
	if (deaths->after)
		deaths->after();
	expect_all_marked(tid, 1);
	free_area();
}

void run_deaths(const struct deaths *deaths)
{
	struct repeat repeat = {};

	while (once_more(&repeat, DEATHS, all_met(deaths)))
		run_death(deaths, repeat.deaths);
	diag("%d deaths of %d locks, up to %lld ms", repeat.deaths, deaths->locks, longest);
	for (int i = 0; i < deaths->count; i++)
		diag("%s: %lu calls, %lu with an effect, %lu of these met a walk",
		     deaths->strikers[i].name, deaths->strikers[i].calls,
		     deaths->strikers[i].effects, deaths->strikers[i].met);
	for (int i = 0; i < deaths->count; i++)
		must_meet(deaths->strikers[i].met, deaths->strikers[i].name);
}
