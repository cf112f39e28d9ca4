// SPDX-License-Identifier: GPL-2.0
/* The waiters: they sleep at a gate, and are requeued from there to a word and back. */
#define _GNU_SOURCE
#include "fuzz.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#define POOL_SIZE	(SPOTS_MAX * SPOT_WAITERS)

/* Not every compiler aligns it as futex() wants it. */
static __u32 gate __aligned(4);
static __u32 came_back;
static __u32 sent_back;

static void *wait_at_gate(void *unused)
{
	(void)unused;
	for (;;)
		if (!syscall(SYS_futex, &gate, FUTEX_WAIT, 0, NULL, NULL, 0))
			__atomic_add_fetch(&came_back, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

void start_pool(void)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int i;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 65536);
	for (i = 0; i < POOL_SIZE; i++)
		if (pthread_create(&thread, &attributes, wait_at_gate, NULL))
			fatal("cannot start the waiters: raise ulimit -u");
}

bool place_waiters(void)
{
	double end = now_seconds() + limit / 2;
	struct spot *spot;
	long moved;
	int i;

	for (i = 0; i < scene.nr_spots; i++) {
		spot = &scene.spots[i];
		for (moved = 0; moved < spot->waiters;) {
			long more = futex_call(&gate, FUTEX_REQUEUE, 0,
					       spot->waiters - moved,
					       scene.memory->control + spot->at);

			if (more < 0 || now_seconds() > end) {
				fail("waiters do not come back to sleep");
				return false;
			}
			moved += more;
			if (!more)
				sched_yield();
		}
		totals.waiters += spot->waiters;
	}
	return true;
}

/* Requeue the waiters that still sleep. Returns whether their number is right for each word. */
bool check_waiters(void)
{
	double end = now_seconds() + limit / 2;
	struct spot *spot;
	bool right = true;
	int least, most, woken, i;
	long asleep;

	for (i = 0; i < scene.nr_spots; i++) {
		spot = &scene.spots[i];
		asleep = futex_call(scene.memory->control + spot->at, FUTEX_REQUEUE,
				    0, INT_MAX, &gate);
		woken = spot->waiters - asleep;
		least = spot->least < spot->waiters ? spot->least : spot->waiters;
		most = spot->most < spot->waiters ? spot->most : spot->waiters;
		sent_back += woken;
		totals.woken += woken;
		if (woken < least || woken > most) {
			fail("word at +%#x: %d of %d waiters were woken, not %d%s",
			     spot->at, woken, spot->waiters, least,
			     most > least ? " or more" : "");
			right = false;
		}
	}
	while (__atomic_load_n(&came_back, __ATOMIC_SEQ_CST) != sent_back) {
		if (now_seconds() > end) {
			fail("a waiter that was taken off its word does not run");
			return false;
		}
		sched_yield();
	}
	return right;
}
