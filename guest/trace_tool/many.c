// SPDX-License-Identifier: GPL-2.0
/* More locks than there is room for in a trace buffer, and the limits of a walk. */
#define _GNU_SOURCE
#include "trace_tool.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define MILLION		1000000
/* Of a walk: kernel/futex/robust.c has it as well */
#define VISIT_LIMIT	(16 * 1024 * 1024)
/* Milliseconds for a million locks with all events, and for the tool to end after that */
#define MILLION_LIMIT	120000

/* How many events the tool says were lost; 0 if it says nothing */
static unsigned long long lost_events(const struct tool *tool)
{
	unsigned long long lost;
	int at = 0;

	if (sscanf(tool->errors, "robust-trace: %llu events were lost: %n", &lost, &at) != 1 ||
	    strcmp(tool->errors + at, "use --buffer or --summary\n")) {
		check(!tool->errors[0], "it says '%s'", tool->errors);
		return 0;
	}
	return lost;
}

/* The last line must be that of a list, with these counts, and at its proper end. */
static void expect_last(const struct tool *tool, const char *counts)
{
	check(strstr(tool->last, counts) && strstr(tool->last, " us, ended at its end\n"),
	      "expected '%s', got '%s'", counts, tool->last);
}

void test_summary(void)
{
	struct owner owner = {
		.comm = "million", .ending = KILLED, .place = IN_PRIVATE, .many = MILLION,
	};
	unsigned long long us = 0;
	char *at, enabled[8];
	struct tool tool;

	start_tool(&tool, ARGUMENTS("--summary"));
	/* The events of locks would make the walk slower, and be lost. */
	read_instance(&tool, "/events/futex/robust_mark/enable", enabled, sizeof(enabled));
	check(!strcmp(enabled, "0"), "robust_mark: %s", enabled);
	let_die(&owner);
	stop_tool(&tool);
	at = strstr(tool.text, "robust list: ");
	check(tool.lines == 1 && at &&
	      sscanf(at, "robust list: 1000000 marked, 0 woken, 0 not held, 0 faults, 1000000 visits in %llu us",
		     &us) == 1 && strstr(at, " us, ended at its end\n"), "got '%s'", tool.text);
	check(!lost_events(&tool), "it says '%s'", tool.errors);
	diag("%llu us for a million locks", us);
}

void test_lost(void)
{
	struct owner owner = {
		.comm = "many", .ending = KILLED, .place = IN_PRIVATE, .many = MILLION / 10,
	};
	unsigned long long lines, lost;
	struct tool tool;

	start_tool(&tool, ARGUMENTS("--buffer", "64"));
	let_die(&owner);
	stop_tool(&tool);
	/* The event of the walk, being the last, is not lost. */
	lines = tool.lines - 1;
	lost = lost_events(&tool);
	diag("%llu printed, %llu lost", lines, lost);
	check(lost > 0, "no event was lost");
	check(lines + lost == owner.many, "%llu and %llu are not %u", lines, lost, owner.many);
	expect_last(&tool, "]: killed by SIGKILL: robust list: 100000 marked, 0 woken, 0 not held, 0 faults, 100000 visits in ");
}

/* The last of its events are those of the pending lock, with a waiter, and of the walk. */
void test_million(void)
{
	struct owner owner = {
		.comm = "everything", .ending = KILLED, .place = IN_PRIVATE, .many = MILLION,
		.releases = true, .waiter = true,
	};
	unsigned long long lines, lost;
	char expected[LINE_SIZE];
	long long began, died;
	struct tool tool;
	pid_t pid;

	start_tool(&tool, ARGUMENTS());
	pid = start_owner(&owner);
	began = now_ms();
	end_owner(&owner, pid);
	died = now_ms();
	stop_tool(&tool);
	lines = tool.lines - 1;
	lost = lost_events(&tool);
	diag("%llu printed, %llu lost; %lld ms for the owner, %lld ms more for the tool", lines,
	     lost, died - began, now_ms() - died);
	check(now_ms() - began < MILLION_LIMIT, "it takes too long");
	check(lines + lost == MILLION + 1, "%llu and %llu are not %d", lines, lost, MILLION + 1);
	expect_last(&tool, "]: killed by SIGKILL: robust list: 1000000 marked, 1 woken, 1 not held, 0 faults, 1000000 visits in ");
	snprintf(expected, sizeof(expected),
		 " everything[%d]: killed by SIGKILL: " LOCK_FILE "+0x%zx (pending): not held, waiter woken\n",
		 pid, WORD_OFFSET);
	check(!!strstr(tool.before, expected), "expected '%s', got '%s'", expected, tool.before);
}

void test_visit_limit(void)
{
	struct owner owner = {
		.comm = "too many", .ending = KILLED, .place = IN_PRIVATE, .many = VISIT_LIMIT + 1,
	};
	struct tool tool;
	char *at;

	start_tool(&tool, ARGUMENTS("--summary"));
	let_die(&owner);
	stop_tool(&tool);
	at = strstr(tool.text, ": robust list: 16777216 marked, ");
	check(at && strstr(at, ", 16777216 visits in ") &&
	      strstr(at, ", ended after too many entries\n"), "got '%s'", tool.text);
}

void test_time_limit(void)
{
	struct owner owner = { .comm = "late", .ending = EXECS, .late = true };
	long long began;
	struct tool tool;
	int status;
	pid_t pid;
	char *at;

	start_tool(&tool, ARGUMENTS("--summary"));
	pid = start_owner(&owner);
	shared->go = 1;
	began = now_ms();
	while (file_lock->word != FUTEX_OWNER_DIED && now_ms() < began + TIME_LIMIT)
		sleep_ms(1);
	check(file_lock->word == FUTEX_OWNER_DIED, "the lock is not marked");
	/* The time of an exec counts from the kill. */
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	stop_tool(&tool);
	at = strstr(tool.text, "]: exec: robust list: 1 marked, 0 woken, 0 not held, ");
	check(at && strstr(at, ", ended at a link whose page did not come in time\n"),
	      "got '%s'", tool.text);
}
