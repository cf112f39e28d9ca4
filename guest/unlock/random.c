// SPDX-License-Identifier: GPL-2.0
/*
 * No tracer: kills and signals that arrive at random, from another CPU.
 *
 * The victim releases its lock again and again. A second process, which plays the next user
 * of the memory, stores the victim's TID as soon as it finds the word free, and the word is no
 * lock from then on, until the victim begins the next round:
 *
 *	victim				second process
 *
 *	phase = HELD, word = TID
 *	phase = RELEASING
 *	release				sees the word free
 *					phase = REUSED
 *					word = TID
 *	sees REUSED and the TID
 *
 * So in the phase REUSED the word is 0 or the TID, and no death may change that.
 */
#define _GNU_SOURCE
#include "unlock.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HELD, RELEASING, REUSED };

static void look(int number)
{
	(void)number;
	scene->signals++;
	/* In HELD the word is free before the lock is pending: that looks the same. */
	if (scene->phase == RELEASING && !lock->word && is_pending())
		scene->middle++;
}

static void release_again_and_again(bool reused)
{
	struct sigaction action = { .sa_handler = look };
	unsigned int tid = getpid();

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigaction(SIGUSR1, &action, NULL);
	enter_scene();
	scene->begun = 1;
	while (!scene->stop) {
		scene->phase = HELD;
		hand_lock(tid, 0);
		__atomic_store_n(&scene->phase, RELEASING, __ATOMIC_SEQ_CST);
		release();
		if (is_pending())
			scene->wrong++;
		while (reused && !scene->stop && (scene->phase != REUSED || lock->word != tid))
			sched_yield();
		scene->rounds++;
	}
	_exit(0);
}

static void reuse(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!scene->stop) {
		if (__atomic_load_n(&scene->phase, __ATOMIC_SEQ_CST) != RELEASING || lock->word) {
			sched_yield();
			continue;
		}
		__atomic_store_n(&scene->phase, REUSED, __ATOMIC_SEQ_CST);
		lock->word = scene->tid;
	}
	scene->stopped = 1;
	_exit(0);
}

static pid_t start(void (*run)(bool reused), bool reused)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		bail_out("cannot fork");
	if (!pid)
		run(reused);
	return pid;
}

static void run_reuse(bool unused)
{
	(void)unused;
	reuse();
}

static bool await(volatile int *flag)
{
	double end = now_seconds() + 20;

	while (!*flag && now_seconds() < end)
		sleep_ns(20 * 1000);
	return *flag;
}

/* Some time in which the victim makes some rounds; another one each time */
static void run_for_a_while(void)
{
	static unsigned int seed = 1;

	seed = seed * 1103515245 + 12345;
	sleep_ns(50 * 1000 + (seed >> 8) % (200 * 1000));
}

void kill_at_random(enum way way, double seconds, struct tally *tally)
{
	double end = now_seconds() + seconds;

	while (now_seconds() < end) {
		pid_t victim, second;
		unsigned int tid;

		set_scene(way);
		victim = start(release_again_and_again, true);
		second = start(run_reuse, false);
		if (!await(&scene->begun))
			tally->stuck++;
		run_for_a_while();
		kill(victim, SIGKILL);
		waitpid(victim, NULL, 0);
		scene->stop = 1;
		if (!await(&scene->stopped))
			tally->stuck++;
		kill(second, SIGKILL);
		waitpid(second, NULL, 0);

		tid = victim;
		tally->points++;
		tally->walks += scene->witness.word == FUTEX_OWNER_DIED;
		tally->stuck += scene->wrong;
		if (scene->phase != REUSED)
			continue;
		tally->replaced++;
		if (lock->word != tid) {
			tally->changed++;
			tally->found = lock->word;
			tally->expected = tid;
		}
	}
}

void signal_at_random(enum way way, double seconds, struct tally *tally)
{
	double end = now_seconds() + seconds;
	pid_t victim;

	set_scene(way);
	victim = start(release_again_and_again, false);
	if (!await(&scene->begun))
		tally->stuck++;
	while (now_seconds() < end) {
		for (int i = 0; i < 100; i++) {
			kill(victim, SIGUSR1);
			sched_yield();
		}
	}
	scene->stop = 1;
	waitpid(victim, NULL, 0);
	tally->points = scene->signals;
	tally->middle = scene->middle;
	tally->stuck += scene->wrong;
}
