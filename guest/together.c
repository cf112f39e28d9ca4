// SPDX-License-Identifier: GPL-2.0
/*
 * Two deaths with many robust locks at the same moment, on two CPUs, against one alone.
 *
 *   threads    the two that die are threads of one process
 *   processes  they are threads of two processes, which share the memory of the locks
 *
 *   alone        one dies, on the first CPU; its locks are those of "own"
 *   own          each has its locks on pages of its own
 *   interleaved  they are on the same pages: every second lock is the other's
 *
 * FUTEX_WAITERS is set in all words, but no waiter sleeps.
 *
 * On each CPU there is a creator, with real-time priority 2. It creates the thread that dies
 * by clone() with CLONE_VFORK, with priority 1: it meets the other one at a spin
 * barrier, reads the clock and calls exit(). At the barrier they take turns a few times, so
 * that both are running when they leave it, even if a virtual CPU is not. The creator goes
 * on when the kernel has walked the list, and reads the clock. A figure is this time per
 * lock, of both deaths of each round in which they overlapped: the time that both had in
 * common was at least half of the shorter one. "overlap" is that part in percent, over
 * all rounds. If few rounds overlap, the machine does not have two free CPUs, and the
 * program fails.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/futex.h>
#include <linux/types.h>

#include "parts/measure.h"
#include "parts/util.h"

#define LOCKS		10000L
#define LOCK_SIZE	40
#define SIDES		2
#define STACK_WORDS	8192
#define TURNS		20
#define OVERLAP_MIN	50.0
#define ROUNDS_MIN	11

/* The word comes before the link, as in the mutexes of the C libraries. */
struct lock {
	__u32 word;
	char other[LOCK_SIZE - sizeof(__u32) - sizeof(struct robust_list)];
	struct robust_list link;
};

/* One of the two that die in a round */
struct side {
	struct robust_list_head head;
	double began, ended;
	int number;
	__u64 stack[STACK_WORDS];
};

/* All is shared memory, so that it is the same for threads and processes. */
static struct area {
	struct side sides[SIDES];
	int turns;			/* taken at the barrier */
	int deaths;			/* how many die in each round */
	bool interleaved;
	struct lock locks[SIDES * LOCKS];
} *area;

/* The sides alternate, so each turn but the first shows that the other side runs. */
static void meet(int number)
{
	if (area->deaths < SIDES)
		return;
	for (int turn = number; turn < TURNS; turn += SIDES) {
		while (__atomic_load_n(&area->turns, __ATOMIC_SEQ_CST) != turn)
			;
		__atomic_add_fetch(&area->turns, 1, __ATOMIC_SEQ_CST);
	}
	while (__atomic_load_n(&area->turns, __ATOMIC_SEQ_CST) != TURNS)
		;
}

static struct lock *lock_of(const struct side *side, long i)
{
	return &area->locks[area->interleaved ? i * SIDES + side->number :
						side->number * LOCKS + i];
}

static void make_list(struct side *side)
{
	struct robust_list *link = &side->head.list;

	for (long i = 0; i < LOCKS; i++) {
		link->next = &lock_of(side, i)->link;
		link = link->next;
	}
	link->next = &side->head.list;
	side->head.futex_offset = (long)offsetof(struct lock, word) -
				  (long)offsetof(struct lock, link);
}

/* It has no thread-local storage of its own, and shares its creator's. */
static int holder(void *argument)
{
	struct side *side = argument;
	__u32 word = syscall(SYS_gettid) | FUTEX_WAITERS;

	for (long i = 0; i < LOCKS; i++)
		lock_of(side, i)->word = word;
	syscall(SYS_set_robust_list, &side->head, sizeof(side->head));
	set_priority(1);
	meet(side->number);
	side->began = now_ns();
	syscall(SYS_exit, 0);
	return 0;
}

static void *creator(void *argument)
{
	struct side *side = argument;
	int tid;

	stay_on_cpu(side->number);
	if (!set_priority(2))
		errx(1, "has no real-time priority: run it as root");
	tid = clone(holder, side->stack + STACK_WORDS, THREAD_FLAGS | CLONE_VFORK, side);
	side->ended = now_ns();
	if (tid < 0)
		err(1, "cannot start a thread");
	while (!syscall(SYS_tgkill, getpid(), tid, 0))
		sleep_ns(20000);
	return NULL;
}

static void check_locks(const struct side *side)
{
	for (long i = 0; i < LOCKS; i++) {
		__u32 word = lock_of(side, i)->word;

		if (word != (FUTEX_OWNER_DIED | FUTEX_WAITERS))
			errx(1, "the word of lock %ld is 0x%x: is there a limit?", i, word);
	}
}

static void run_threads(void)
{
	pthread_t threads[SIDES];

	for (int i = 0; i < area->deaths; i++) {
		errno = pthread_create(&threads[i], NULL, creator, &area->sides[i]);
		if (errno)
			err(1, "cannot start a thread");
	}
	for (int i = 0; i < area->deaths; i++)
		pthread_join(threads[i], NULL);
}

static void run_processes(void)
{
	for (int i = 0; i < area->deaths; i++) {
		int pid = fork();

		if (pid < 0)
			err(1, "cannot start a process");
		if (!pid) {
			creator(&area->sides[i]);
			_exit(0);
		}
	}
	for (int i = 0; i < area->deaths; i++) {
		int status;

		if (wait(&status) < 0 || status)
			errx(1, "a process ended with status 0x%x", status);
	}
}

/* How much of the shorter of the two times both have in common, in percent */
static double overlap(void)
{
	const struct side *first = &area->sides[0], *second = &area->sides[1];
	double began = first->began > second->began ? first->began : second->began;
	double ended = first->ended < second->ended ? first->ended : second->ended;
	double shorter = first->ended - first->began;

	if (shorter > second->ended - second->began)
		shorter = second->ended - second->began;
	return ended > began ? 100 * (ended - began) / shorter : 0;
}

static void round_of(void (*run)(void))
{
	area->turns = 0;
	for (int i = 0; i < area->deaths; i++)
		make_list(&area->sides[i]);
	run();
	for (int i = 0; i < area->deaths; i++)
		check_locks(&area->sides[i]);
}

static void measure(const char *kind, const char *place, int deaths, bool interleaved,
		    void (*run)(void))
{
	double values[SIDES * MANY_RUNS], overlaps[MANY_RUNS];
	char variant[64];
	int count = 0;

	area->deaths = deaths;
	area->interleaved = interleaved;
	for (int round = -2; round < MANY_RUNS; round++) {
		double common;

		round_of(run);
		if (round < 0)
			continue;
		common = deaths == SIDES ? overlap() : 100;
		overlaps[round] = common;
		for (int i = 0; i < deaths && common >= OVERLAP_MIN; i++)
			values[count++] = (area->sides[i].ended - area->sides[i].began) / LOCKS;
	}
	if (count < deaths * ROUNDS_MIN)
		errx(1, "%s/%s: only %d of %d rounds overlapped: two CPUs must be free",
		     kind, place, count / deaths, MANY_RUNS);
	snprintf(variant, sizeof(variant), "%s/%s", kind, place);
	print_result("together", variant, LOCKS, "ns/lock", summary(values, count));
	if (deaths == SIDES)
		print_result("overlap", variant, LOCKS, "percent", summary(overlaps, MANY_RUNS));
}

static void measure_kind(const char *kind, void (*run)(void))
{
	measure(kind, "alone", 1, false, run);
	measure(kind, "own", SIDES, false, run);
	measure(kind, "interleaved", SIDES, true, run);
}

int main(int argc, char **argv)
{
	(void)argv;
	if (argc != 1)
		errx(2, "takes no arguments");
	area = mmap(NULL, sizeof(*area), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		err(1, "no memory for the locks");
	memset(area, 0, sizeof(*area));
	for (int i = 0; i < SIDES; i++)
		area->sides[i].number = i;

	measure_begin("two deaths at a time");
	/* It starts both creators before one of them spins at the barrier on this CPU. */
	set_priority(3);
	measure_kind("threads", run_threads);
	measure_kind("processes", run_processes);
	return 0;
}
