// SPDX-License-Identifier: GPL-2.0
/* Processes that have the locks of the area, and their deaths. */
#define _GNU_SOURCE
#include "attacks.h"

#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "parts/machine.h"

#define SHARING_MAX	2
#define STACK		65536

struct owners *owners;
long long longest;

static void (*act_of_owner)(int part);

/* Without changing it */
static void touch(int first, int last)
{
	for (int i = first; i <= last; i++)
		__atomic_fetch_or(&slot_of(i)->word, 0, __ATOMIC_RELAXED);
}

static void *own_part(void *argument)
{
	int part = (intptr_t)argument;

	touch(first_of(part), last_of(part));
	register_part(part, &owners->heads[part]);
	owners->tids[part] = own_tid();
	act_of_owner(part);
	return NULL;
}

static void __noreturn own_parts(void)
{
	pthread_t thread;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int part = 1; part < PARTS; part++)
		start_thread(&thread, own_part, (void *)(intptr_t)part);
	own_part(NULL);
	/* Others may not be done. */
	for (;;)
		pause();
}

pid_t start_owners(void (*act)(int part))
{
	pid_t pid;

	memset(owners, 0, sizeof(*owners));
	act_of_owner = act;
	pid = fork();
	if (pid < 0)
		give_up("cannot start a process");
	if (!pid)
		own_parts();
	for (int part = 0; part < PARTS; part++) {
		await(owners->tids[part]);
		take_part(part, &owners->heads[part], owners->tids[part]);
	}
	start_waiters();
	return pid;
}

/* By the system call alone: a process that shares the memory shares errno and more. */
void wait_for_go(void)
{
	while (!owners->go)
		futex(&owners->go, FUTEX_WAIT, 0);
}

static int own_all(void *unused)
{
	(void)unused;
	syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	register_list(&owners->heads[0]);
	owners->tids[0] = own_tid();
	wait_for_go();
	syscall(SYS_exit_group, 0);
	return 0;
}

pid_t start_sharing(int (*body)(void *argument), void *argument, int number)
{
	static char stacks[SHARING_MAX][STACK];
	uintptr_t stack = (uintptr_t)stacks[number];
	pid_t pid;

#ifndef STACK_GROWS_UP
	stack += STACK - 64;
#endif
	stack = (stack + 63) & ~(uintptr_t)63;
	pid = clone(body, (void *)stack, CLONE_VM | SIGCHLD, argument);
	if (pid < 0)
		give_up("cannot start a process that shares the memory");
	return pid;
}

pid_t start_owner(int sharing, bool touched)
{
	pid_t pid;

	memset(owners, 0, sizeof(*owners));
	if (sharing == MAP_PRIVATE) {
		pid = start_sharing(own_all, NULL, 0);
	} else {
		pid = fork();
		if (pid < 0)
			give_up("cannot start a process");
		if (!pid) {
			if (touched)
				touch(0, last_of(PARTS - 1));
			own_all(NULL);
		}
	}
	await(owners->tids[0]);
	take_all(&owners->heads[0], owners->tids[0]);
	start_waiters();
	return pid;
}

int wait_for_death(pid_t pid)
{
	long long began = now_ms();
	int status = end_of(pid, EXIT_LIMIT);

	if (now_ms() - began > longest)
		longest = now_ms() - began;
	if (status == -1)
		give_up("an exit does not end in time");
	return status;
}

int let_die(pid_t pid, bool killed)
{
	if (killed) {
		kill(pid, SIGKILL);
	} else {
		owners->go = 1;
		futex(&owners->go, FUTEX_WAKE, INT_MAX);
	}
	return wait_for_death(pid);
}

void expect_all_marked(pid_t owner, int lists)
{
	struct outcome outcome;

	judge_area(owner, &outcome);
	if (outcome.wrong || outcome.unmarked || outcome.not_woken || outcome.woken_twice)
		diag("%d words marked, %d not, first %d, %d wrong; of %d locks %d not woken, %d twice",
		     outcome.marked, outcome.unmarked, outcome.first_unmarked, outcome.wrong,
		     outcome.waiters, outcome.not_woken, outcome.woken_twice);
	check(outcome.marked);
	check(!outcome.unmarked);
	check(!outcome.wrong);
	check(outcome.pending_marked == lists);
	check(outcome.waiters > lists);
	check(!outcome.not_woken);
	check(!outcome.woken_twice);
	check(outcome.pi);
	check(!count_changed_gaps());
}
