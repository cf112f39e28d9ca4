// SPDX-License-Identifier: GPL-2.0
/*
 * The cost of pthread_mutex_lock() and pthread_mutex_unlock(), of
 *
 *   plain     a mutex with the default attributes
 *   shared    one that is shared between processes
 *   robust    one that is shared and robust
 *
 * with the C library that this is linked with. By default the mutex is always free: the cost
 * of a pair of calls, minus that of an empty loop. A second thread sleeps meanwhile, because
 * glibc omits atomic accesses in a process with one thread. With "contended" two threads on
 * two CPUs take the same mutex as often as possible, and the figure is the number of pairs in
 * a second; the mutex protects a counter that must be right in the end. "smaller-share" is
 * the share of the thread with fewer pairs: a mutex need not be fair.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "parts/measure.h"
#include "parts/util.h"

#ifdef __GLIBC__
#define LIBRARY "glibc"
#else
#define LIBRARY "musl"
#endif

#define PAIRS		1000
#define ROUNDS		21
#define ROUND_NS	100000000

enum { PLAIN, SHARED, ROBUST, KINDS };

static const struct kind {
	const char *name;
	bool shared, robust;
} kinds[KINDS] = {
	[PLAIN] = { LIBRARY "/plain", false, false },
	[SHARED] = { LIBRARY "/shared", true, false },
	[ROBUST] = { LIBRARY "/robust", true, true },
};

/* Shared by the two threads that contend, as it could be by processes */
static struct area {
	pthread_mutex_t mutex;
	unsigned long counter;
	char other_cache_line[128];
	int ready;
	bool go, stop;
} *area;

struct contender {
	pthread_t thread;
	int cpu;
	unsigned long pairs;
};

static void make_mutex(const struct kind *kind)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	if (kind->shared)
		errno = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	if (!errno && kind->robust)
		errno = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	if (!errno)
		errno = pthread_mutex_init(&area->mutex, &attributes);
	if (errno)
		err(1, "cannot make a mutex %s", kind->name);
	pthread_mutexattr_destroy(&attributes);
	area->counter = 0;
}

static void check_mutex(const struct kind *kind)
{
	int lock = pthread_mutex_lock(&area->mutex);
	int again = pthread_mutex_trylock(&area->mutex);
	int unlock = pthread_mutex_unlock(&area->mutex);

	if (lock || again != EBUSY || unlock)
		errx(1, "%s: lock %d, trylock %d, unlock %d", kind->name, lock, again, unlock);
}

static double time_of_nothing(void)
{
	double time = now_ns();

	for (int i = 0; i < PAIRS; i++)
		__asm__ volatile("" : : : "memory");
	return now_ns() - time;
}

static double time_of_pairs(void)
{
	pthread_mutex_t *mutex = &area->mutex;
	double time = now_ns();

	for (int i = 0; i < PAIRS; i++) {
		pthread_mutex_lock(mutex);
		pthread_mutex_unlock(mutex);
	}
	return now_ns() - time;
}

static struct result runs_of(double (*time_of)(void))
{
	double values[MANY_RUNS];

	for (int run = -2; run < MANY_RUNS; run++) {
		double time;

		sleep_ns(2000000);
		time = time_of();
		if (run >= 0)
			values[run] = time;
	}
	return summary(values, MANY_RUNS);
}

static void *sleep_for_ever(void *unused)
{
	(void)unused;
	for (;;)
		pause();
	return NULL;
}

static void measure_alone(void)
{
	pthread_t other;

	errno = pthread_create(&other, NULL, sleep_for_ever, NULL);
	if (errno)
		err(1, "cannot start a thread");
	for (int i = 0; i < KINDS; i++) {
		double without = runs_of(time_of_nothing).median;

		make_mutex(&kinds[i]);
		check_mutex(&kinds[i]);
		print_result("pair", kinds[i].name, 0, "ns/pair",
			     reduce(runs_of(time_of_pairs), without, PAIRS));
		pthread_mutex_destroy(&area->mutex);
	}
}

static void *contend(void *argument)
{
	struct contender *self = argument;
	unsigned long pairs = 0;

	stay_on_cpu(self->cpu);
	set_priority(1);
	__atomic_add_fetch(&area->ready, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&area->go, __ATOMIC_SEQ_CST))
		;
	while (!__atomic_load_n(&area->stop, __ATOMIC_RELAXED)) {
		pthread_mutex_lock(&area->mutex);
		area->counter++;
		pthread_mutex_unlock(&area->mutex);
		pairs++;
	}
	self->pairs = pairs;
	return NULL;
}

/* The number of pairs in a second of both together, and the smaller share in percent */
static double rate_of_round(const struct kind *kind, double *share)
{
	struct contender contenders[2] = { { .cpu = 0 }, { .cpu = 1 } };
	unsigned long smaller;
	double time;

	make_mutex(kind);
	area->ready = 0;
	area->go = false;
	area->stop = false;
	for (int i = 0; i < 2; i++) {
		errno = pthread_create(&contenders[i].thread, NULL, contend, &contenders[i]);
		if (errno)
			err(1, "cannot start a thread");
	}
	while (__atomic_load_n(&area->ready, __ATOMIC_SEQ_CST) < 2)
		sleep_ns(1000000);
	time = now_ns();
	__atomic_store_n(&area->go, true, __ATOMIC_SEQ_CST);
	sleep_ns(ROUND_NS);
	__atomic_store_n(&area->stop, true, __ATOMIC_RELAXED);
	time = now_ns() - time;
	for (int i = 0; i < 2; i++)
		pthread_join(contenders[i].thread, NULL);

	if (area->counter != contenders[0].pairs + contenders[1].pairs)
		errx(1, "%s: the counter is %lu, not %lu and %lu", kind->name, area->counter,
		     contenders[0].pairs, contenders[1].pairs);
	pthread_mutex_destroy(&area->mutex);
	smaller = contenders[contenders[1].pairs < contenders[0].pairs].pairs;
	*share = 100.0 * smaller / area->counter;
	return area->counter / (time / 1e9);
}

static void measure_contended(void)
{
	double rates[ROUNDS], shares[ROUNDS];

	for (int i = 0; i < KINDS; i++) {
		/* The first round is not counted. */
		rate_of_round(&kinds[i], &shares[0]);
		for (int round = 0; round < ROUNDS; round++)
			rates[round] = rate_of_round(&kinds[i], &shares[round]);
		print_result("contended", kinds[i].name, 2, "pairs/s", summary(rates, ROUNDS));
		print_result("smaller-share", kinds[i].name, 2, "percent", summary(shares, ROUNDS));
	}
}

int main(int argc, char **argv)
{
	bool contended = argc == 2 && !strcmp(argv[1], "contended");

	if (argc > 2 || (argc == 2 && !contended))
		errx(2, "takes \"contended\" or nothing");
	area = mmap(NULL, sizeof(*area), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		err(1, "no memory for a mutex");
	memset(area, 0, sizeof(*area));
	errno = 0;

	measure_begin("mutexes of " LIBRARY);
	if (contended)
		measure_contended();
	else
		measure_alone();
	return 0;
}
