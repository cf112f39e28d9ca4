// SPDX-License-Identifier: GPL-2.0
/*
 * timeout [--foreground] SECONDS PROGRAM [ARGUMENT...]
 *
 * The functions of /usr/bin/timeout that kselftest's runner needs, and busybox's does not
 * have: --foreground, ending the program's whole process group, the exit status 124.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIME_IS_UP 124
#define GRACE 5

/* The target of signals: a process group as a negative number, or one process. */
static volatile pid_t target;
static volatile sig_atomic_t time_is_up;

/* SIGTERM first, then SIGKILL, repeated until the program has ended. */
static void time_out(int signal)
{
	(void)signal;
	kill(target, time_is_up ? SIGKILL : SIGTERM);
	time_is_up = 1;
	alarm(GRACE);
}

/* A signal to end this program: from an outer timeout, for instance. */
static void pass_on(int signal)
{
	(void)signal;
	alarm(0);
	time_out(SIGALRM);
}

int main(int argc, char **argv)
{
	int foreground = argc > 1 && !strcmp(argv[1], "--foreground");
	int status, seconds;
	pid_t pid;

	argv += foreground;
	argc -= foreground;
	seconds = argc > 2 ? atoi(argv[1]) : 0;
	if (seconds <= 0) {
		fprintf(stderr,
			"timeout: usage: timeout [--foreground] SECONDS PROGRAM [ARGUMENT...]\n");
		return 125;
	}

	pid = fork();
	if (pid < 0) {
		perror("timeout: cannot fork");
		return 125;
	}
	if (pid == 0) {
		if (!foreground)
			setpgid(0, 0);
		execvp(argv[2], argv + 2);
		fprintf(stderr, "timeout: cannot run %s: %s\n", argv[2], strerror(errno));
		_exit(127);
	}
	/* On both sides, so that the group exists whichever runs first. */
	if (!foreground)
		setpgid(pid, pid);
	target = foreground ? pid : -pid;
	signal(SIGALRM, time_out);
	signal(SIGTERM, pass_on);
	alarm(seconds);

	while (waitpid(pid, &status, 0) < 0)
		;
	/* Other processes of the group may ignore SIGTERM. */
	if (time_is_up) {
		kill(target, SIGKILL);
		return TIME_IS_UP;
	}
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
