// SPDX-License-Identifier: GPL-2.0
/* The line of a lock, and that of a list, for each kind of owner and of lock. */
#define _GNU_SOURCE
#include "trace_tool.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Let the owner die in front of the tool, started with these options. Returns its PID. */
static pid_t traced(struct tool *tool, const struct owner *owner, char *const *arguments)
{
	start_tool(tool, arguments);
	let_die(owner);
	stop_tool(tool);
	return shared->pid;
}

void test_killed(void)
{
	struct owner owner = { .comm = "two words", .ending = KILLED, .waiter = true };
	struct tool tool;
	pid_t pid = traced(&tool, &owner, ARGUMENTS());

	expect_line(&tool, "two words[%d]: killed by SIGKILL: " LOCK_FILE "+0x%zx: marked, waiter woken\n",
		    pid, WORD_OFFSET);
}

void test_other_signals(void)
{
	static const struct {
		int number;
		const char *name;
	} signals[] = {
		{ SIGTERM, "SIGTERM" },
		{ SIGUSR1, "SIGUSR1" },
		{ 40, "signal 40" },	/* one of the real-time signals */
	};
	struct tool tool;
	pid_t pid;

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		struct owner owner = {
			.comm = "signalled", .ending = KILLED, .signal = signals[i].number,
		};

		pid = traced(&tool, &owner, ARGUMENTS());
		expect_line(&tool, "signalled[%d]: killed by %s: " LOCK_FILE "+0x%zx: marked, no waiter\n",
			    pid, signals[i].name, WORD_OFFSET);
	}
}

void test_exited(void)
{
	struct owner owner = { .comm = "exits", .ending = EXITS, .place = IN_PRIVATE };
	struct tool tool;
	pid_t pid = traced(&tool, &owner, ARGUMENTS());

	expect_line(&tool, "exits[%d]: exit status 3: private 0x%llx: marked, no waiter\n", pid,
		    (unsigned long long)(uintptr_t)shared->word);
}

void test_exec(void)
{
	struct owner owner = { .comm = "execs", .ending = EXECS };
	struct tool tool;
	pid_t pid = traced(&tool, &owner, ARGUMENTS());

	expect_line(&tool, "execs[%d]: exec: " LOCK_FILE "+0x%zx: marked, no waiter\n", pid,
		    WORD_OFFSET);
}

void test_thread(void)
{
	struct owner owner = { .comm = "thread", .ending = THREAD_EXITS };
	struct tool tool;
	pid_t pid = traced(&tool, &owner, ARGUMENTS());

	check(pid != shared->tid, "the thread has the TID of the process");
	expect_line(&tool, "thread[%d/%d]: exit status 7: " LOCK_FILE "+0x%zx: marked, no waiter\n",
		    pid, shared->tid, WORD_OFFSET);
}

void test_thread_exec(void)
{
	struct owner owner = { .comm = "not the first", .ending = THREAD_EXECS };
	struct tool tool;
	pid_t pid = traced(&tool, &owner, ARGUMENTS());

	check(pid != shared->tid, "the thread has the TID of the process");
	expect_line(&tool, "not the first[%d/%d]: exec: " LOCK_FILE "+0x%zx: marked, no waiter\n",
		    pid, shared->tid, WORD_OFFSET);
}

void test_namespace(void)
{
	struct owner owner = { .comm = "inside", .ending = EXITS, .namespace = true };
	struct tool tool;
	pid_t pid = traced(&tool, &owner, ARGUMENTS());

	check(shared->tid == 1, "the TID is %d", shared->tid);
	expect_line(&tool, "inside[%d, TID 1 in its namespace]: exit status 3: " LOCK_FILE "+0x%zx: marked, no waiter\n",
		    pid, WORD_OFFSET);
}

void test_pending(void)
{
	struct owner owner = { .comm = "releases", .ending = KILLED, .pending = true };
	struct tool tool;
	pid_t pid = traced(&tool, &owner, ARGUMENTS());

	expect_line(&tool, "releases[%d]: killed by SIGKILL: " LOCK_FILE "+0x%zx (pending): not held, no waiter\n",
		    pid, WORD_OFFSET);
}

void test_pi(void)
{
	struct owner owner = { .comm = "inherits", .ending = EXITS, .pi = true };
	struct tool tool;
	pid_t pid = traced(&tool, &owner, ARGUMENTS());

	expect_line(&tool, "inherits[%d]: exit status 3: " LOCK_FILE "+0x%zx (PI): marked\n",
		    pid, WORD_OFFSET);
}

/* An owner with this @comm has its lock in a memfd of this @name. Both are @shown so. */
static void expect_memfd(const char *comm, const char *name, const char *comm_shown,
			 const char *name_shown)
{
	struct owner owner = { .comm = comm, .ending = EXITS };
	struct lock *named = file_lock;
	int fd = memfd_create(name, MFD_CLOEXEC);
	struct tool tool;
	struct stat file;
	pid_t pid;

	if (fd < 0 || ftruncate(fd, 4096) || fstat(fd, &file))
		bail_out("memfd_create()");
	file_lock = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (file_lock == MAP_FAILED)
		bail_out("mmap()");
	pid = traced(&tool, &owner, ARGUMENTS());
	expect_line(&tool, "%s[%d]: exit status 3: /memfd:%s (deleted) inode %llu+0x%zx: marked, no waiter\n",
		    comm_shown, pid, name_shown, (unsigned long long)file.st_ino,
		    offsetof(struct lock, word));
	munmap(file_lock, 4096);
	close(fd);
	file_lock = named;
}

void test_deleted(void)
{
	expect_memfd("nameless", "trace_tool", "nameless", "trace_tool");
}

/* Where the process has its lock, as "dev MAJOR:MINOR inode INODE+OFFSET" */
static void find_place(pid_t pid, char *place, size_t size)
{
	unsigned long long start, end, offset, inode;
	unsigned int major, minor;
	uintptr_t word = (uintptr_t)shared->word;
	char path[64], line[512];
	FILE *file;

	place[0] = 0;
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "%llx-%llx %*s %llx %x:%x %llu", &start, &end, &offset,
			   &major, &minor, &inode) == 6 && word >= start && word < end)
			snprintf(place, size, "dev %u:%u inode %llu+0x%llx", major, minor, inode,
				 word - start + offset);
	if (file)
		fclose(file);
	check(place[0], "no mapping with the lock in %s", path);
}

void test_unmapped(void)
{
	struct owner owner = { .comm = "alone", .ending = EXITS, .place = IN_SHARED };
	struct tool tool;
	char place[128];
	pid_t pid;

	start_tool(&tool, ARGUMENTS());
	pid = start_owner(&owner);
	find_place(pid, place, sizeof(place));
	/* While the owner ends it may still have the file mapped. */
	kill(tool.pid, SIGSTOP);
	end_owner(&owner, pid);
	kill(tool.pid, SIGCONT);
	stop_tool(&tool);
	expect_line(&tool, "alone[%d]: exit status 3: %s: marked, no waiter\n", pid, place);
}

void test_control_characters(void)
{
	/* A byte above 0x7f may begin a sequence of a terminal as well. */
	expect_memfd("a\033[31mb\nc", "d\033[31me\233f", "a?[31mb?c", "d?[31me?f");
}

/* The second of two lines must be that of a list, with this, a time, and this end. */
static void expect_list(const struct tool *tool, const char *counts, const char *end)
{
	char *list = strstr(tool->text, counts);
	unsigned long long us;
	int at = 0;

	check(tool->lines == 2, "not two lines: '%s'", tool->text);
	check(list && sscanf(list + strlen(counts), " in %llu us%n", &us, &at) == 1 && at &&
	      !strcmp(list + strlen(counts) + at, end), "expected '%s', got '%s'", counts,
	      tool->text);
}

void test_broken(void)
{
	struct owner owner = { .comm = "broken", .ending = EXITS, .broken = true };
	struct tool tool;

	traced(&tool, &owner, ARGUMENTS());
	expect_list(&tool, ": exit status 3: robust list: 1 marked, 0 woken, 0 not held, 0 faults, 1 visit",
		    ", ended at a link that is NULL\n");
}

void test_fault(void)
{
	struct owner owner = {
		.comm = "fault", .ending = EXITS, .place = IN_PRIVATE, .read_only = true, .many = 2,
	};
	struct tool tool;

	traced(&tool, &owner, ARGUMENTS());
	expect_list(&tool, ": exit status 3: robust list: 1 marked, 0 woken, 0 not held, 1 fault, 2 visits",
		    ", ended at its end\n");
}

void test_compat(void)
{
	struct owner owner = { .comm = "short words", .ending = EXITS, .compat = true };
	struct tool tool;
	char *list;

	traced(&tool, &owner, ARGUMENTS("--summary"));
	list = strstr(tool.text,
		      "]: exit status 3: 32-bit list: 1 marked, 0 woken, 0 not held, 0 faults, 1 visit in ");
	check(tool.lines == 1 && list, "got '%s'", tool.text);
}

void test_pid(void)
{
	struct owner first = { .comm = "first", .ending = EXITS };
	struct owner second = { .comm = "second", .ending = EXITS };
	pid_t pid = start_owner(&first);
	char number[16];
	struct tool tool;

	snprintf(number, sizeof(number), "%d", pid);
	start_tool(&tool, ARGUMENTS("--pid", number));
	end_owner(&first, pid);
	let_die(&second);
	stop_tool(&tool);
	expect_line(&tool, "first[%d]: exit status 3: " LOCK_FILE "+0x%zx: marked, no waiter\n",
		    pid, WORD_OFFSET);
}

void test_pid_of_thread(void)
{
	struct owner owner = { .comm = "thread", .ending = THREAD_EXITS };
	char number[16];
	struct tool tool;
	pid_t pid;

	for (int by_tid = 0; by_tid < 2; by_tid++) {
		pid = start_owner(&owner);
		snprintf(number, sizeof(number), "%d", by_tid ? shared->tid : pid);
		start_tool(&tool, ARGUMENTS("--pid", number));
		end_owner(&owner, pid);
		stop_tool(&tool);
		expect_line(&tool, "thread[%d/%d]: exit status 7: " LOCK_FILE "+0x%zx: marked, no waiter\n",
			    pid, shared->tid, WORD_OFFSET);
	}
}
