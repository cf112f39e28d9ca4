// SPDX-License-Identifier: GPL-2.0
/*
 * attacks.traced, attacks.frozen: owners that cannot go on when they are to die.
 *
 * A tracer stops each thread at PTRACE_EVENT_EXIT and never continues it. One thread exits;
 * as long as it is stopped its list is registered and nothing is marked. Then the process is
 * killed, by which that thread goes on or not, and the others are stopped. The tracer is killed
 * last. Then all end.
 *
 * A process in a frozen cgroup is killed. In version 2 it dies at once. In version 1 it stays
 * as it is until the cgroup is thawed.
 */
#define _GNU_SOURCE
#include "attacks.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STOP_LOCKS	(PARTS * 1024)
#define STOP_WAITING	256
#define ROUNDS		4

/* Nothing happens for so long, in milliseconds. */
#define LONG_ENOUGH	500

#define GROUPS		"/sys/fs/cgroup"
#define GROUP		GROUPS "/attacks"
#define OLD_GROUPS	"/tmp/attacks.freezer"
#define OLD_GROUP	OLD_GROUPS "/attacks"

/* The thread that exits first: it is not the leader. */
#define FIRST		2

static struct traced {
	volatile int attached;
	volatile int failed;		/* the error of ptrace() */
	volatile int stops[PARTS];	/* at PTRACE_EVENT_EXIT */
} *traced;

static void exit_first(int part)
{
	wait_for_go();
	if (part == FIRST)
		syscall(SYS_exit, 0);
	for (;;)
		pause();
}

static void note_stop(pid_t tid)
{
	for (int part = 0; part < PARTS; part++)
		if (owners->tids[part] == tid)
			traced->stops[part]++;
}

static void __noreturn trace(void)
{
	int status;
	pid_t tid;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int part = 0; part < PARTS; part++)
		if (ptrace(PTRACE_SEIZE, owners->tids[part], NULL, (void *)PTRACE_O_TRACEEXIT))
			traced->failed = errno;
	traced->attached = 1;
	for (;;) {
		tid = waitpid(-1, &status, __WALL);
		if (tid < 0) {
			pause();
			continue;
		}
		if (!WIFSTOPPED(status))
			continue;
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8))
			note_stop(tid);
		else
			ptrace(PTRACE_CONT, tid, NULL, NULL);
	}
}

static bool any_marked(void)
{
	for (int part = 0; part < PARTS; part++)
		if (is_marked(first_of(part)) || is_marked(last_of(part)))
			return true;
	return false;
}

static bool is_registered(int part)
{
	struct robust_list_head *head;
	size_t length;

	return !syscall(SYS_get_robust_list, owners->tids[part], &head, &length) &&
	       head == &owners->heads[part];
}

static bool run_traced(void)
{
	pid_t pid, tracer;
	int status;

	memset(traced, 0, sizeof(*traced));
	make_area(MAP_SHARED, STOP_LOCKS, PARTS, STOP_WAITING);
	add_spare_waiters(1);
	fill_gaps();
	pid = start_owners(exit_first);
	tracer = fork();
	if (tracer < 0)
		give_up("cannot start a process");
	if (!tracer)
		trace();
	await(traced->attached);
	if (traced->failed) {
		errno = traced->failed;
		diag("PTRACE_SEIZE: %s", strerror(errno));
		give_up("the threads cannot be traced");
	}

	owners->go = 1;
	futex(&owners->go, FUTEX_WAKE, INT32_MAX);
	await(traced->stops[FIRST]);
	sleep_ms(LONG_ENOUGH);
	check(is_registered(FIRST));
	check(!any_marked());

	kill(pid, SIGKILL);
	/* The leader gets there in any case. */
	await(traced->stops[0]);
	sleep_ms(LONG_ENOUGH);
	check(is_registered(0));
	check(!is_marked(first_of(0)) && !is_marked(last_of(0)));
	check(waitpid(pid, &status, WNOHANG) == 0);

	kill(tracer, SIGKILL);
	status = wait_for_death(pid);
	wait_for_death(tracer);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	expect_all_marked(0, PARTS);
	free_area();
	return traced->stops[FIRST] && traced->stops[0];
}

void attack_traced(void)
{
	struct repeat repeat = {};
	int stopped = 0;

	traced = map_memory(sizeof(*traced), MAP_SHARED);
	while (once_more(&repeat, ROUNDS, true))
		stopped += run_traced();
	diag("%d times a thread and the leader were stopped in their exit, the exit took up to %lld ms",
	     stopped, longest);
	check(stopped == repeat.deaths);
}

/* How a process is frozen with all of its threads */
struct freezer {
	const char *path;
	const char *state, *freeze, *thaw;
	/* Whether the kernel says that it is frozen */
	bool (*is_frozen)(void);
	/* A kill ends what is frozen. */
	bool dies_frozen;
};

static bool is_new_frozen(void)
{
	return number_in(GROUP "/cgroup.events", "frozen") == 1;
}

static bool is_old_frozen(void)
{
	char state[32];

	return first_line(OLD_GROUP "/freezer.state", state, sizeof(state)) &&
	       !strcmp(state, "FROZEN");
}

static void just_wait(int part)
{
	(void)part;
	for (;;)
		pause();
}

static bool run_frozen(const struct freezer *freezer)
{
	char procs[80], text[16];
	bool frozen;
	int status;
	pid_t pid;

	snprintf(procs, sizeof(procs), "%s/cgroup.procs", freezer->path);
	make_area(MAP_SHARED, STOP_LOCKS, PARTS, STOP_WAITING);
	add_spare_waiters(1);
	fill_gaps();
	pid = start_owners(just_wait);
	snprintf(text, sizeof(text), "%d", pid);
	if (!write_file(procs, text) || !write_file(freezer->state, freezer->freeze))
		give_up("the process cannot be frozen");
	await(freezer->is_frozen());
	sleep_ms(LONG_ENOUGH);
	check(!any_marked());
	frozen = freezer->is_frozen();
	kill(pid, SIGKILL);
	if (!freezer->dies_frozen) {
		sleep_ms(LONG_ENOUGH);
		frozen &= freezer->is_frozen();
		check(!any_marked());
		check(waitpid(pid, &status, WNOHANG) == 0);
		if (!write_file(freezer->state, freezer->thaw))
			give_up("the process cannot be thawed");
	}
	status = wait_for_death(pid);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	expect_all_marked(0, PARTS);
	free_area();
	if (freezer->dies_frozen && !write_file(freezer->state, freezer->thaw))
		give_up("the group cannot be thawed");
	return frozen;
}

void attack_frozen(void)
{
	static const struct freezer new_freezer = {
		.path = GROUP, .state = GROUP "/cgroup.freeze", .freeze = "1", .thaw = "0",
		.is_frozen = is_new_frozen, .dies_frozen = true,
	};
	static const struct freezer old_freezer = {
		.path = OLD_GROUP, .state = OLD_GROUP "/freezer.state", .freeze = "FROZEN",
		.thaw = "THAWED", .is_frozen = is_old_frozen,
	};
	int frozen = 0, old_frozen = 0;

	/* Something else may have mounted it. */
	mount("cgroup2", GROUPS, "cgroup2", 0, NULL);
	mkdir(OLD_GROUPS, 0755);
	mount("cgroup", OLD_GROUPS, "cgroup", 0, "freezer");
	clean_later();
	mkdir(GROUP, 0755);
	mkdir(OLD_GROUP, 0755);
	if (access(GROUP "/cgroup.freeze", W_OK) || access(OLD_GROUP "/freezer.state", W_OK))
		skip("the kernel has no cgroups that freeze, of both versions");
	for (int i = 0; i < ROUNDS && !failed; i++) {
		frozen += run_frozen(&new_freezer);
		old_frozen += run_frozen(&old_freezer);
	}
	diag("killed while frozen %d times, and %d times by version 1, exits up to %lld ms",
	     frozen, old_frozen, longest);
	check(frozen == ROUNDS);
	check(old_frozen == ROUNDS);
}

void remove_groups(void)
{
	write_file(GROUP "/cgroup.freeze", "0");
	write_file(OLD_GROUP "/freezer.state", "THAWED");
	if (!access(GROUP "/cgroup.procs", F_OK) && rmdir(GROUP))
		diag("%s cannot be removed: %s", GROUP, strerror(errno));
	if (!access(OLD_GROUP "/cgroup.procs", F_OK) && rmdir(OLD_GROUP))
		diag("%s cannot be removed: %s", OLD_GROUP, strerror(errno));
	umount(OLD_GROUPS);
	rmdir(OLD_GROUPS);
}
