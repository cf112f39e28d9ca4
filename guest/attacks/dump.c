// SPDX-License-Identifier: GPL-2.0
/*
 * attacks.dump: a process of eight threads, each with a list of its own, dumps core to a
 * program, which is this one again.
 *
 * While it dumps, each thread is still there, has its list registered, and no lock is marked.
 * It cannot go on, as the program does not read what it dumps; or has read all of it and
 * does not end, for which the kernel waits if core_pipe_limit is set. Then the process is
 * killed. Or the program is, and the process goes on by itself. After each of them all locks
 * of all threads are marked.
 */
#define _GNU_SOURCE
#include "attacks.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where the program writes its PID, when the dump has come as far as it shall */
#define STATE		"/tmp/attacks.handler"

#define DUMP_LOCKS	(PARTS * 1024)
#define DUMP_WAITING	256

/* How long a dump must have been stalled, in milliseconds */
#define STALL		500

enum stall { UNREAD, ENDLESS, ABANDONED, STALLS };

static const struct {
	const char *name;
	const char *handler;
	const char *pipe_limit;
} stalls[STALLS] = {
	[UNREAD]    = { "the dump is not read, the process is killed", "stops", "0" },
	[ENDLESS]   = { "the handler does not end, the process is killed", "reads", "4" },
	[ABANDONED] = { "the dump is not read, the handler is killed", "stops", "0" },
};

/* What it is to the kernel: limit its life, as nobody waits for it. */
int handle_dump(const char *how)
{
	char text[65536];
	int fd;

	alarm(WAIT_LIMIT * 4);
	while (!strcmp(how, "reads") && read(STDIN_FILENO, text, sizeof(text)) > 0)
		;
	fd = open(STATE ".new", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	snprintf(text, sizeof(text), "%d\n", getpid());
	if (fd < 0 || write(fd, text, strlen(text)) < 0 || close(fd))
		return 1;
	if (rename(STATE ".new", STATE))
		return 1;
	for (;;)
		pause();
}

static bool set_handler(enum stall stall)
{
	char path[80], pattern[128];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (length < 0)
		give_up("/proc/self/exe cannot be read");
	path[length] = 0;
	unlink(STATE);
	snprintf(pattern, sizeof(pattern), "|%s handler %s", path, stalls[stall].handler);
	return write_file(CORE_PATTERN, pattern) &&
	       write_file(CORE_PIPE_LIMIT, stalls[stall].pipe_limit);
}

static void wait_to_dump(int part)
{
	static const struct rlimit any = { RLIM_INFINITY, RLIM_INFINITY };

	if (!part)
		setrlimit(RLIMIT_CORE, &any);
	for (;;)
		pause();
}

static bool is_dumping(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	return number_in(path, "CoreDumping:") == 1;
}

/* Whether nothing has begun to walk, and each list is registered */
static bool nothing_walked(pid_t pid)
{
	struct robust_list_head *head;
	char path[80];
	size_t length;

	for (int part = 0; part < PARTS; part++) {
		snprintf(path, sizeof(path), "/proc/%d/task/%d", pid, owners->tids[part]);
		if (access(path, F_OK) || is_marked(first_of(part)) || is_marked(last_of(part)))
			return false;
		if (syscall(SYS_get_robust_list, owners->tids[part], &head, &length) ||
		    head != &owners->heads[part])
			return false;
	}
	return true;
}

/* For so long nothing goes on. */
static bool is_stalled(pid_t pid)
{
	for (int i = 0; i < STALL / 20; i++) {
		if (!is_dumping(pid) || !nothing_walked(pid))
			return false;
		sleep_ms(20);
	}
	return true;
}

/* Returns whether the dump was stalled when the kill came. */
static bool run_dump(enum stall stall, int dumper)
{
	pid_t pid, handler;
	bool stalled;
	int status;

	if (!set_handler(stall))
		give_up("core_pattern cannot be written");
	make_area(MAP_SHARED, DUMP_LOCKS, PARTS, DUMP_WAITING);
	add_spare_waiters(1);
	fill_gaps();
	pid = start_owners(wait_to_dump);
	syscall(SYS_tgkill, pid, owners->tids[dumper], SIGSEGV);
	await((handler = number_in(STATE, "")) > 0);
	stalled = is_stalled(pid);
	check(stalled);

	kill(stall == ABANDONED ? handler : pid, SIGKILL);
	status = wait_for_death(pid);
	kill(handler, SIGKILL);
	check(WIFSIGNALED(status));
	check(WTERMSIG(status) == (stall == ABANDONED ? SIGSEGV : SIGKILL));
	expect_all_marked(0, PARTS);
	free_area();
	return stalled;
}

void attack_dump(void)
{
	int stalled[STALLS] = {};

	if (access(CORE_PATTERN, F_OK))
		skip("the kernel has no core dumps");
	if (access(CORE_PATTERN, W_OK))
		skip("needs root, for core_pattern");
	/* By the leader, and by others */
	for (int dumper = 0; dumper < PARTS; dumper += 3)
		for (int stall = 0; stall < STALLS && !failed; stall++)
			stalled[stall] += run_dump(stall, dumper);
	unlink(STATE);
	for (int stall = 0; stall < STALLS; stall++) {
		diag("%s: %d times, exits up to %lld ms", stalls[stall].name, stalled[stall],
		     longest);
		check(stalled[stall]);
	}
}
