// SPDX-License-Identifier: GPL-2.0
/* The victim: it is stepped through the function, and examined before it is killed. */
#define _GNU_SOURCE
#include "step.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

/* No process here holds more locks than this. */
#define LIST_MAX 16

pid_t victim;

/* The head of the list of this process, and of each fork of it. */
static unsigned long head;

/*
 * get_robust_list() is not used for the head, as the kernel is under test. The link of a
 * mutex that is alone on the list leads to the head.
 */
void find_head(void)
{
	pthread_mutex_t *mutex = &stage->mutex;
	unsigned long link = (unsigned long)mutex + LINK_PLACE;

	pthread_mutex_lock(mutex);
	head = *(unsigned long *)link;
	if (!head || *(unsigned long *)head != link ||
	    ((long *)head)[1] != WORD_PLACE - (long)LINK_PLACE) {
		printf("Bail out! " LIBRARY " has another layout: fix LINK_PLACE\n");
		exit(1);
	}
	pthread_mutex_unlock(mutex);
}

/*
 * Until the victim has stopped, or was found asleep three times if it may sleep; without
 * limit.
 */
static enum progress await_stop(bool may_sleep)
{
	struct waiting waiting = {};
	int tries = 0, asleep = 0, status;

	while (waitpid(victim, &status, WNOHANG | __WALL) != victim) {
		if (++tries < 20) {
			sched_yield();
			continue;
		}
		if (may_sleep && state_of(victim) == 'S' && ++asleep == 3)
			return SLEEPS;
		if (no_progress(&waiting))
			return SLEEPS;
	}
	return WIFSTOPPED(status) ? STOPPED : GONE;
}

enum progress start_victim(const struct scenario *scenario)
{
	enum progress progress;

	victim = fork();
	if (victim < 0)
		bail_out("cannot fork");
	if (!victim) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		scenario->before();
		kill(getpid(), SIGSTOP);
		scenario->act();
		stage->over = 1;
		for (;;)
			pause();
	}
	progress = await_stop(false);
	if (progress == STOPPED)
		ptrace(PTRACE_SETOPTIONS, victim, NULL, (void *)(long)PTRACE_O_EXITKILL);
	return progress;
}

/* One more instruction. The last one may end asleep. */
enum progress step_on(const struct scenario *scenario, bool last)
{
	enum progress progress;

	if (ptrace(PTRACE_SINGLESTEP, victim, NULL, NULL))
		return GONE;
	progress = await_stop(true);
	if (progress != SLEEPS || last)
		return progress;

	/* Queue a waiter behind the victim, then end the victim's wait. */
	want_early();
	if (scenario->cond && !stage->ready) {
		start_claim(&stage->helper, make_ready);
		finish(&stage->helper, &stage->helper);
		end_claim(&stage->helper);
	} else if (scenario->held) {
		release_holder();
	}
	return await_stop(false);
}

static unsigned long peek(unsigned long address)
{
	unsigned long value = 0;
	struct iovec here = { &value, sizeof(value) };
	struct iovec there = { (void *)address, sizeof(value) };

	return process_vm_readv(victim, &here, 1, &there, 1, 0) < 0 ? 0 : value;
}

void look(struct moment *moment)
{
	struct user_regs_struct registers;
	unsigned long link = (unsigned long)&stage->mutex + LINK_PLACE, at;
	bool own;
	int i;

	moment->word = *lock_word();
	moment->tid = victim;
	/* A system call that sleeps does not stop: there is no next instruction. */
	if (!moment->asleep && !ptrace(PTRACE_GETREGS, victim, NULL, &registers))
		moment->instruction = registers.PROGRAM_COUNTER;

	moment->pending = (peek(head + 2 * sizeof(long)) & ~1UL) == link;
	at = peek(head) & ~1UL;
	for (i = 0; i < LIST_MAX && at && at != head; i++) {
		moment->listed |= at == link;
		at = peek(at) & ~1UL;
	}

	own = (moment->word & FUTEX_TID_MASK) == moment->tid;
	moment->must_mark = own && (moment->pending || moment->listed);
	if (moment->must_mark)
		moment->must_wake = moment->word & FUTEX_WAITERS;
	else if (!own && moment->pending)
		moment->must_wake = !(moment->word & FUTEX_TID_MASK) ||
				    !(moment->word & FUTEX_WAITERS);
	moment->sleepers = sleepers() - (moment->asleep && moment->pending);
}
