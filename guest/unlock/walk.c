// SPDX-License-Identifier: GPL-2.0
/* A victim that is stepped through the release, and killed, or jumps out of a handler. */
#define _GNU_SOURCE
#include "unlock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "parts/stepping.h"

/* Of an exclusive store that fails after each stop the loop never ends. */
#define STEPS_MAX 3000

static sigjmp_buf escape;

static void jump(int number)
{
	unsigned int word = lock->word;
	bool pending = is_pending();

	(void)number;
	scene->middle = !word && pending;
	scene->early = word && !pending;
	scene->handled = 1;
	siglongjmp(escape, 1);
}

static void be_victim(void)
{
	struct sigaction action = { .sa_handler = jump };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigaction(SIGUSR1, &action, NULL);
	enter_scene();
	if (!start_replacer())
		_exit(4);
	stop_for_tracer();
	if (!sigsetjmp(escape, 1)) {
		scene->begun = 1;
		release();
		scene->done = 1;
	}
	_exit(0);
}

/* A process that sleeps on the word: it is the next owner, if it is woken. */
static pid_t start_waiter(void)
{
	double end = now_seconds() + 20;
	pid_t pid = fork();

	if (!pid) {
		unsigned int word = lock->word;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		scene->sleeps = 1;
		syscall(SYS_futex, &lock->word, FUTEX_WAIT, (long)(int)word, NULL, NULL, 0L);
		scene->back = 1;
		_exit(0);
	}
	if (pid < 0)
		bail_out("cannot fork");
	while ((!scene->sleeps || task_state(pid) != 'S') && now_seconds() < end)
		sleep_ns(20 * 1000);
	return pid;
}

static void end_waiter(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* A victim that is about to release its lock, or -1 */
static pid_t start_victim(enum way way, bool awaited)
{
	pid_t pid;

	set_scene(way);
	fflush(stdout);
	pid = fork();
	if (!pid)
		be_victim();
	if (pid < 0 || !await_first_stop(pid))
		return -1;
	hand_lock(pid, awaited ? FUTEX_WAITERS : 0);
	return pid;
}

/* @steps into the release: how many there were until its end, or -1 */
static int step_into(pid_t pid, int steps)
{
	int before = 0, n = 0;

	while (!scene->begun)
		if (step_once(pid) != STEP_STOPPED || ++before > STEPS_MAX)
			return -1;
	while (!scene->done && n < steps) {
		if (step_once(pid) != STEP_STOPPED)
			return -1;
		n++;
	}
	return n;
}

static bool waiter_comes_back(void)
{
	double end = now_seconds() + 20;

	while (!scene->back && now_seconds() < end)
		sleep_ns(100 * 1000);
	return scene->back;
}

/* Kill the victim where it is, and look at what the walk has done. */
static void kill_here(pid_t pid, bool awaited, struct tally *tally)
{
	unsigned int held = pid | (awaited ? FUTEX_WAITERS : 0);
	bool replaced = take_and_replace();
	unsigned int word;

	kill_traced(pid);

	tally->points++;
	tally->walks += scene->witness.word == FUTEX_OWNER_DIED;
	if (replaced && !scene->replaced) {
		tally->stuck++;
	} else if (replaced) {
		tally->replaced++;
		word = file_word();
		if (word != (unsigned int)pid) {
			tally->changed++;
			tally->found = word;
			tally->expected = pid;
		}
	} else if (lock->word != (FUTEX_OWNER_DIED | (held & FUTEX_WAITERS))) {
		tally->lost++;
	}
	if (awaited && !waiter_comes_back())
		tally->lost++;
}

/* How long the release is: 0 if it cannot be stepped to its end. */
static int release_length(enum way way, bool awaited)
{
	pid_t pid = start_victim(way, awaited), waiter = awaited ? start_waiter() : 0;
	int length = pid > 0 ? step_into(pid, STEPS_MAX) : -1;

	if (pid > 0)
		kill_traced(pid);
	end_waiter(waiter);
	return length < 0 || length == STEPS_MAX ? 0 : length;
}

const char *cannot_step(enum way way)
{
	pid_t pid = start_victim(way, false);
	const char *reason = NULL;
	enum stepped stepped;

	if (pid < 0)
		return NULL;
	stepped = step_once(pid);
	if (stepped == STEP_IMPOSSIBLE)
		reason = "this architecture has no PTRACE_SINGLESTEP";
	else if (stepped == STEP_STOPPED && step_into(pid, STEPS_MAX) == STEPS_MAX)
		reason = "an exclusive store never succeeds after a stop";
	kill_traced(pid);
	return reason;
}

void kill_each(enum way way, bool awaited, struct tally *tally)
{
	int length = release_length(way, awaited);

	if (!length)
		tally->stuck++;
	for (int n = 0; length && n <= length; n++) {
		pid_t pid = start_victim(way, awaited), waiter = awaited ? start_waiter() : 0;

		if (pid < 0 || step_into(pid, n) < 0) {
			tally->stuck++;
			if (pid > 0)
				kill_traced(pid);
		} else {
			kill_here(pid, awaited, tally);
		}
		end_waiter(waiter);
	}
}

/* The first point at which the word is free, and the release is not over */
bool kill_in_middle(enum way way, struct tally *tally)
{
	int length = release_length(way, false);

	for (int n = 1; n < length; n++) {
		pid_t pid = start_victim(way, false);

		if (pid < 0)
			return false;
		if (step_into(pid, n) < 0) {
			kill_traced(pid);
			return false;
		}
		if (!lock->word && !scene->done) {
			kill_here(pid, false, tally);
			return true;
		}
		kill_traced(pid);
	}
	return false;
}

void jump_each(enum way way, struct tally *tally)
{
	int length = release_length(way, false);

	if (!length)
		tally->stuck++;
	for (int n = 0; length && n <= length; n++) {
		pid_t pid = start_victim(way, false);
		int status = -1;

		if (pid > 0 && step_into(pid, n) >= 0)
			status = run_to_end(pid, SIGUSR1);
		tally->points++;
		if (status < 0 || !WIFEXITED(status) || WEXITSTATUS(status) || !scene->handled) {
			tally->stuck++;
			if (pid > 0 && status < 0)
				kill_traced(pid);
			continue;
		}
		tally->walks += scene->witness.word == FUTEX_OWNER_DIED;
		tally->middle += scene->middle;
		tally->early += scene->early;
	}
}
