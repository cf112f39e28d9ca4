// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include "stepping.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util.h"

void stop_for_tracer(void)
{
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	/* To this thread: another one that is not traced would stop the process. */
	syscall(SYS_tgkill, getpid(), (long)syscall(SYS_gettid), SIGSTOP);
}

bool await_first_stop(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status))
		return false;
	/* It does not outlive this process, stopped or not. */
	return !ptrace(PTRACE_SETOPTIONS, pid, NULL, (void *)(long)PTRACE_O_EXITKILL);
}

enum stepped step_once(pid_t pid)
{
	int status;

	if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL))
		return STEP_IMPOSSIBLE;
	if (waitpid(pid, &status, __WALL) != pid || !WIFSTOPPED(status))
		return STEP_ENDED;
	return STEP_STOPPED;
}

int run_to_end(pid_t pid, int signal)
{
	int status;

	do {
		if (ptrace(PTRACE_CONT, pid, NULL, (void *)(long)signal) ||
		    waitpid(pid, &status, __WALL) != pid)
			return -1;
		/* A stop is one for a signal, which it gets; a step is over by now. */
		signal = WIFSTOPPED(status) && WSTOPSIG(status) != SIGTRAP ? WSTOPSIG(status) : 0;
	} while (WIFSTOPPED(status));
	return status;
}

void kill_traced(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	while (waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status))
		;
}
