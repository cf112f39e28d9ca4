// SPDX-License-Identifier: GPL-2.0
/*
 * What it costs to release a robust lock, by
 *
 *   inline    the steps of a C library: exchange, FUTEX_WAKE if there is a waiter, and
 *             list_op_pending
 *   vdso      the function of the vDSO, and the call if there is a waiter
 *   call      FUTEX_ROBUST_UNLOCK alone
 *
 * of a lock without waiters ("free"), of one that has FUTEX_WAITERS but no waiter ("bit"), and
 * of one on which a thread sleeps ("waiter"). What is common to all, to make the lock held and
 * pending before, is measured by itself and taken off. A way that the kernel does not have
 * has no line.
 *
 * The waiter has a lower priority, and so does not run before the release is over.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "parts/measure.h"
#include "parts/util.h"
#include "parts/vdso.h"

#define RELEASES	1000

/* From linux/futex.h, which musl's compiler does not find. */
#define FUTEX_CMP_REQUEUE 4

enum way { INLINE, VDSO, CALL, WAYS };

static const char *const way_names[WAYS] = { "inline", "vdso", "call" };

struct area {
	volatile unsigned int word;
	char other_cache_line[128];
	volatile unsigned long pending;
};

static struct area area;
static struct try_unlock function;
static unsigned int tid;

/* The waiter: how often it is to sleep, and how often it was woken */
static volatile int asked, woken;

static void take(unsigned int bits)
{
	area.pending = (unsigned long)&area;
	area.word = tid | bits;
	__asm__ volatile("" : : : "memory");
}

static void release(enum way way)
{
	switch (way) {
	case INLINE:
		if (__atomic_exchange_n(&area.word, 0, __ATOMIC_RELEASE) & FUTEX_WAITERS)
			syscall(SYS_futex, &area.word, FUTEX_WAKE, 1L, NULL, NULL, 0L);
		area.pending = 0;
		break;
	case VDSO:
		if (try_unlock(&function, &area.word, tid, &area.pending) != tid)
			unlock_call(&area.word, 0, &area.pending);
		break;
	default:
		unlock_call(&area.word, 0, &area.pending);
		break;
	}
}

static void check(enum way way, unsigned int bits)
{
	take(bits);
	release(way);
	if (area.word || area.pending)
		errx(1, "%s: the lock was not released", way_names[way]);
}

static double time_of_taking(unsigned int bits)
{
	double time = now_ns();

	for (int i = 0; i < RELEASES; i++)
		take(bits);
	return now_ns() - time;
}

static double time_of_releasing(enum way way, unsigned int bits)
{
	double time = now_ns();

	for (int i = 0; i < RELEASES; i++) {
		take(bits);
		release(way);
	}
	return now_ns() - time;
}

static void measure_without_waiter(enum way way, unsigned int bits, const char *kind)
{
	double values[MANY_RUNS], taking[MANY_RUNS], less;
	char variant[32];

	check(way, bits);
	for (int run = -2; run < MANY_RUNS; run++) {
		double without, time;

		sleep_ns(2000000);
		without = time_of_taking(bits);
		time = time_of_releasing(way, bits);
		if (run < 0)
			continue;
		taking[run] = without;
		values[run] = time;
	}
	snprintf(variant, sizeof(variant), "%s/%s", way_names[way], kind);
	less = summary(taking, MANY_RUNS).median;
	print_result("unlock", variant, 0, "ns/unlock",
		     reduce(summary(values, MANY_RUNS), less, RELEASES));
}

static void *sleep_when_asked(void *unused)
{
	int done = 0;

	(void)unused;
	stay_on_cpu(0);
	set_priority(1);
	for (;;) {
		while (asked == done)
			sleep_ns(50000);
		done = asked;
		syscall(SYS_futex, &area.word, FUTEX_WAIT, (long)(int)(tid | FUTEX_WAITERS), NULL,
			NULL, 0L);
		woken = done;
	}
	return NULL;
}

/* As many as can be moved to where they are */
static long sleepers(void)
{
	return syscall(SYS_futex, &area.word, FUTEX_CMP_REQUEUE, 0L, 0x7fffffffL,
		       &area.word, (long)(int)area.word);
}

static void measure_with_waiter(enum way way)
{
	double values[MANY_RUNS];
	char variant[32];

	for (int run = -2; run < MANY_RUNS; run++) {
		double time;

		take(FUTEX_WAITERS);
		asked++;
		while (sleepers() != 1)
			sleep_ns(100000);
		time = now_ns();
		release(way);
		time = now_ns() - time;
		if (area.word || area.pending)
			errx(1, "%s: the lock was not released", way_names[way]);
		while (woken != asked)
			sleep_ns(100000);
		if (run >= 0)
			values[run] = time;
	}
	snprintf(variant, sizeof(variant), "%s/waiter", way_names[way]);
	print_result("unlock", variant, 1, "ns/unlock", summary(values, MANY_RUNS));
}

/* What now_ns() itself adds to a single release */
static void measure_clock(void)
{
	double values[MANY_RUNS];

	for (int run = 0; run < MANY_RUNS; run++) {
		double time = now_ns();

		values[run] = now_ns() - time;
	}
	print_result("unlock", "clock", 1, "ns/unlock", summary(values, MANY_RUNS));
}

int main(void)
{
	pthread_t thread;

	tid = syscall(SYS_gettid);
	function = find_try_unlock(false);
	measure_begin("releases of robust locks");
	errno = pthread_create(&thread, NULL, sleep_when_asked, NULL);
	if (errno)
		err(1, "cannot start a thread");
	measure_clock();
	for (enum way way = INLINE; way < WAYS; way++) {
		if (way != INLINE && !has_unlock_call())
			continue;
		if (way == VDSO && !function.address)
			continue;
		measure_without_waiter(way, 0, "free");
		measure_without_waiter(way, FUTEX_WAITERS, "bit");
		measure_with_waiter(way);
	}
	return 0;
}
