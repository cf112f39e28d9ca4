// SPDX-License-Identifier: GPL-2.0
/*
 * The delay of a real-time task by a death with many robust locks.
 *
 * The task is this program's main thread: SCHED_FIFO, and woken by a timer again and again.
 * The latency is the time from the expiry of the timer until the task reads the
 * clock. Meanwhile, on the same CPU, a thread with SCHED_OTHER
 *
 *   busy/none   runs in user space and does not die: the latency in any case
 *   dying/none  dies, and holds a million robust locks
 *   dying/bit   the same, with FUTEX_WAITERS in all words, but no waiter
 *
 * Their memory has been touched before, so that there are no page faults. A death lasts
 * from the thread's exit() until the kernel clears its TID, immediately after the walk of
 * the list. A wakeup counts if its timer was set before the end of a death, and ended
 * after its beginning. The figure is the longest latency; the median shows the usual
 * one, and the number of runs is that of the wakeups.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <linux/futex.h>
#include <linux/types.h>

#include "parts/measure.h"
#include "parts/util.h"

#define LOCKS		1000000L
#define LOCK_SIZE	40
#define DEATHS		3
#define QUIET_WAKEUPS	10000
#define WAKEUPS_MAX	1000000
#define STACK_WORDS	8192

/* From one timer to the next: not constant, so that it is not synchronous with the walk */
#define PERIOD_MIN	50000
#define PERIOD_STEP	7919
#define PERIOD_SPREAD	10007

/* The word comes before the link, as in the mutexes of the C libraries. */
struct lock {
	__u32 word;
	char other[LOCK_SIZE - sizeof(__u32) - sizeof(struct robust_list)];
	struct robust_list link;
};

static struct lock *locks;
static struct robust_list_head head;
static double *late;
static __u64 stack[STACK_WORDS];

/* The thread that dies: zero once the kernel has walked its list */
static __u32 tid;
static bool dying, busy;
static __u32 waiters_bit;

static void make_list(void)
{
	struct robust_list *link = &head.list;

	locks = mmap(NULL, LOCKS * sizeof(*locks), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (locks == MAP_FAILED)
		err(1, "no memory for %ld locks", LOCKS);
	/* With huge pages it would be another measurement. */
	madvise(locks, LOCKS * sizeof(*locks), MADV_NOHUGEPAGE);
	for (long i = 0; i < LOCKS; i++) {
		link->next = &locks[i].link;
		link = link->next;
	}
	link->next = &head.list;
	head.futex_offset = (long)offsetof(struct lock, word) -
			    (long)offsetof(struct lock, link);
}

static bool get(bool *flag)
{
	return __atomic_load_n(flag, __ATOMIC_SEQ_CST);
}

static void set(bool *flag, bool value)
{
	__atomic_store_n(flag, value, __ATOMIC_SEQ_CST);
}

static __u32 get_tid(void)
{
	return __atomic_load_n(&tid, __ATOMIC_SEQ_CST);
}

/* The threads have no thread-local storage of their own, and share the creator's. */
static int holder(void *unused)
{
	__u32 word = syscall(SYS_gettid);

	(void)unused;
	set_priority(0);
	for (long i = 0; i < LOCKS; i++)
		locks[i].word = word | waiters_bit;
	syscall(SYS_set_robust_list, &head, sizeof(head));
	set(&dying, true);
	syscall(SYS_exit, 0);
	return 0;
}

static int spinner(void *unused)
{
	(void)unused;
	set_priority(0);
	set(&dying, true);
	while (get(&busy))
		;
	syscall(SYS_exit, 0);
	return 0;
}

static void sleep_until(double time)
{
	struct timespec target = {
		.tv_sec = (time_t)(time / 1e9),
		.tv_nsec = (long)(time - (double)(time_t)(time / 1e9) * 1e9),
	};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &target, NULL);
}

/* Wakeups until the thread has exited, or up to a maximum; added to late[]. */
static int watch(int count, int most)
{
	double target = now_ns();
	unsigned int period = 0;

	while (get_tid() && count < most) {
		double time;

		period = (period + PERIOD_STEP) % PERIOD_SPREAD;
		target += PERIOD_MIN + period;
		time = now_ns();
		/* A missed timer is not repeated. */
		if (target < time + PERIOD_MIN / 2)
			target = time + PERIOD_MIN + period;
		sleep_until(target);
		time = now_ns();
		if (get(&dying))
			late[count++] = time - target;
	}
	return count;
}

static void run_thread(int (*thread)(void *))
{
	set(&dying, false);
	set(&busy, true);
	if (clone(thread, stack + STACK_WORDS,
		  THREAD_FLAGS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID, NULL, &tid, NULL,
		  &tid) < 0)
		err(1, "cannot start a thread");
}

/* Let it exit completely before the next one starts. */
static void await_end(int dead)
{
	while (!syscall(SYS_tgkill, getpid(), dead, 0))
		sleep_ns(1000000);
}

static void check_locks(void)
{
	for (long i = 0; i < LOCKS; i++)
		if (locks[i].word != (FUTEX_OWNER_DIED | waiters_bit))
			errx(1, "the word of lock %ld is 0x%x: is there a limit?", i,
			     locks[i].word);
}

static void measure_deaths(const char *variant, __u32 bit)
{
	int count = 0;

	waiters_bit = bit;
	for (int death = 0; death < DEATHS; death++) {
		int dead;

		run_thread(holder);
		dead = get_tid();
		count = watch(count, WAKEUPS_MAX);
		if (get_tid())
			errx(1, "a death lasts longer than %d wakeups", WAKEUPS_MAX);
		await_end(dead);
		check_locks();
	}
	print_result("latency", variant, LOCKS, "ns/wakeup", summary(late, count));
}

static void measure_busy(void)
{
	int dead, count;

	run_thread(spinner);
	dead = get_tid();
	count = watch(0, QUIET_WAKEUPS);
	set(&busy, false);
	await_end(dead);
	print_result("latency", "busy/none", 0, "ns/wakeup", summary(late, count));
}

int main(int argc, char **argv)
{
	(void)argv;
	if (argc != 1)
		errx(2, "takes no arguments");
	late = calloc(WAKEUPS_MAX, sizeof(*late));
	if (!late)
		errx(1, "no memory for %d figures", WAKEUPS_MAX);
	/* Touched here, it costs no page fault later. */
	memset(late, 1, WAKEUPS_MAX * sizeof(*late));
	make_list();

	measure_begin("wakeups beside a death");
	if (sched_getscheduler(0) != SCHED_FIFO)
		errx(1, "has no real-time priority: run it as root");
	measure_busy();
	measure_deaths("dying/none", 0);
	measure_deaths("dying/bit", FUTEX_WAITERS);
	return 0;
}
