// SPDX-License-Identifier: GPL-2.0
/*
 * attacks.exec: a thread execs, and seven others of its process, which have long lists, walk
 * them at the same time, as an exec ends them. Its own list is walked when they are dead. In every
 * second exec the process is killed while some of them walk.
 */
#define _GNU_SOURCE
#include "attacks.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXECS		8
/* The thread that execs, in turns: the leader, and another one */
#define LEADER		0
#define OTHER		3

static int exec_part;
static bool is_killed;
static volatile int stop;

/* What was seen meanwhile: the most lists that were being walked, and errors in the order */
static volatile int most_walks;
static volatile long too_early;

static void wait_or_exec(int part)
{
	wait_for_go();
	if (part == exec_part) {
		execl("/proc/self/exe", "attacks", "execed", NULL);
		_exit(1);
	}
	for (;;)
		pause();
}

static bool is_walked(int part)
{
	return is_marked(first_of(part)) && !is_marked(last_of(part));
}

/* If the list of the exec is being walked, the others have been. A kill ends the exec. */
static void check_order(void)
{
	if (is_killed || !is_marked(first_of(exec_part)))
		return;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	for (int part = 0; part < PARTS; part++)
		too_early += part != exec_part && !is_marked(last_of(part));
}

static void *watch(void *unused)
{
	while (!stop) {
		int walks = 0;

		for (int part = 0; part < PARTS; part++)
			walks += is_walked(part);
		if (walks > most_walks)
			most_walks = walks;
		check_order();
	}
	return unused;
}

static bool any_walk(void)
{
	for (int part = 0; part < PARTS; part++)
		if (is_marked(first_of(part)))
			return true;
	return false;
}

/* Returns whether the new program has run. */
static bool run_exec(void)
{
	pthread_t watcher;
	int status;
	pid_t pid;

	make_area(MAP_SHARED, AREA_LOCKS, PARTS, AREA_WAITING);
	add_spare_waiters(1);
	fill_gaps();
	pid = start_owners(wait_or_exec);
	stop = 0;
	start_thread(&watcher, watch, NULL);
	owners->go = 1;
	futex(&owners->go, FUTEX_WAKE, INT_MAX);
	if (is_killed) {
		await(any_walk());
		kill(pid, SIGKILL);
	}
	status = wait_for_death(pid);
	stop = 1;
	pthread_join(watcher, NULL);
	if (WIFSIGNALED(status))
		check(is_killed && WTERMSIG(status) == SIGKILL);
	else
		check(WEXITSTATUS(status) == NEW_PROGRAM);
	expect_all_marked(0, PARTS);
	free_area();
	return WIFEXITED(status);
}

void attack_exec(void)
{
	int execs = 0, met = 0, ended_by_kill = 0;
	struct repeat repeat = {};

	while (once_more(&repeat, EXECS, met && execs && ended_by_kill)) {
		bool execed;

		is_killed = repeat.deaths & 1;
		exec_part = repeat.deaths & 2 ? OTHER : LEADER;
		most_walks = 0;
		execed = run_exec();
		execs += execed;
		ended_by_kill += !execed;
		met += most_walks > 1;
	}
	diag("%d times the new program ran, %d times the kill came before, up to %lld ms", execs,
	     ended_by_kill, longest);
	diag("%d times several lists were walked at once, %d the last time", met, most_walks);
	check(execs);
	check(!too_early);
	must_meet(met, "several lists are walked at once");
	must_meet(ended_by_kill, "the process is killed while it execs");
}
