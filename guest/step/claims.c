// SPDX-License-Identifier: GPL-2.0
/* The other processes: they hold the lock, take it, wait; and their time limits. */
#define _GNU_SOURCE
#include "step.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Seconds: if all sleep for this long, they do not wake up; one check takes no longer. */
#define QUIET 0.1
#define LOOK_MAX 0.01

/*
 * The other processes. This one holds no lock when they start: it would be on their
 * lists as well, with a C library that does not empty them in a fork.
 */

volatile unsigned int *lock_word(void)
{
	return (volatile unsigned int *)((char *)&stage->mutex + WORD_PLACE);
}

/* The number of tasks that sleep on the word: as many as can be requeued to it. */
int sleepers(void)
{
	volatile unsigned int *word = lock_word();

	return syscall(SYS_futex, word, FUTEX_CMP_REQUEUE, 0, (long)INT_MAX, word, *word);
}

void start_claim(struct claim *claim, void (*run)(struct claim *claim))
{
	pid_t pid;

	memset(claim, 0, sizeof(*claim));
	pid = fork();
	if (pid < 0)
		bail_out("cannot fork");
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run(claim);
		_exit(0);
	}
	claim->pid = pid;
}

void kill_and_reap(pid_t *pid)
{
	if (!*pid)
		return;
	kill(*pid, SIGKILL);
	while (waitpid(*pid, NULL, __WALL) < 0 && errno == EINTR)
		;
	*pid = 0;
}

void end_claim(struct claim *claim)
{
	kill_and_reap(&claim->pid);
}

void hold(struct claim *claim)
{
	pthread_mutex_lock(&stage->mutex);
	claim->begun = 1;
	while (!stage->let_go)
		sleep_ns(POLL_NS);
	pthread_mutex_unlock(&stage->mutex);
	claim->done = 1;
}

void use_lock(struct claim *claim)
{
	claim->begun = 1;
	claim->result = pthread_mutex_lock(&stage->mutex);
	claim->sum = stage->first + stage->second;
	if (claim->result == EOWNERDEAD) {
		stage->second = 100 - stage->first;
		pthread_mutex_consistent(&stage->mutex);
	}
	if (!claim->result || claim->result == EOWNERDEAD)
		pthread_mutex_unlock(&stage->mutex);
	claim->done = 1;
}

void die_with_lock(struct claim *claim)
{
	claim->begun = 1;
	pthread_mutex_lock(&stage->mutex);
}

void use_cond(struct claim *claim)
{
	int seen;

	pthread_mutex_lock(&stage->mutex);
	seen = stage->ready;
	claim->begun = 1;
	while (stage->ready == seen)
		pthread_cond_wait(&stage->cond, &stage->mutex);
	pthread_mutex_unlock(&stage->mutex);
	claim->done = 1;
}

void make_ready(struct claim *claim)
{
	claim->begun = 1;
	pthread_mutex_lock(&stage->mutex);
	stage->ready++;
	pthread_cond_broadcast(&stage->cond);
	pthread_mutex_unlock(&stage->mutex);
	claim->done = 1;
}

char state_of(pid_t pid)
{
	char letter = task_state(pid);

	if (!letter)
		bail_out("no /proc, mount it");
	return letter;
}

/* Whether the process makes no progress by itself. */
static bool rests(const struct claim *claim)
{
	return !claim->pid || claim->done || strchr("SZ", state_of(claim->pid));
}

/*
 * Whether to stop waiting: all processes sleep, so that none can wake another; or the
 * limit has expired. A process that was woken but gets no CPU does not sleep, so a busy
 * machine is not taken for a hang.
 */
bool no_progress(struct waiting *waiting)
{
	bool rest = !victim || strchr("St", state_of(victim));
	double time = now_seconds(), passed = time - waiting->last;

	rest = rest && rests(&stage->holder) && rests(&stage->early) &&
	       rests(&stage->late) && rests(&stage->waiter) && rests(&stage->helper);
	if (passed > LOOK_MAX)
		passed = waiting->last ? LOOK_MAX : 0;
	waiting->last = time;
	waiting->waited += passed;
	waiting->rested = rest ? waiting->rested + passed : 0;
	sleep_ns(POLL_NS);
	return waiting->rested > QUIET || waiting->waited > time_limit_max;
}

/* Whether both end; they may be the same. */
bool finish(struct claim *one, struct claim *other)
{
	struct waiting waiting = {};

	while (!one->done || !other->done)
		if (no_progress(&waiting))
			return false;
	return true;
}

/* Until the process sleeps, or is done. */
void settle(struct claim *claim)
{
	struct waiting waiting = {};

	while (!claim->begun || !rests(claim))
		if (no_progress(&waiting))
			break;
}

/* Start a process that takes the lock, unless one still waits for it. */
void want_early(void)
{
	if (stage->early.pid && !stage->early.done)
		return;
	end_claim(&stage->early);
	start_claim(&stage->early, use_lock);
	settle(&stage->early);
}

void release_holder(void)
{
	stage->let_go = 1;
	while (!stage->holder.done)
		sleep_ns(POLL_NS);
}
