// SPDX-License-Identifier: GPL-2.0
/*
 * What robust-trace, of tools/futex/ in the kernel tree, prints for owners that end in
 * different ways, with locks of different kinds.
 *
 * Where it cannot begin, or not go on (start.c):
 *
 *   trace_tool.not_mounted	without tracefs and without rights it says so
 *   trace_tool.no_tracefs	on a kernel that has no tracefs
 *   trace_tool.no_rights	with tracefs, and without rights
 *   trace_tool.no_events	on a kernel without these events
 *   trace_tool.usage		wrong options and files end it, with a line that says why
 *   trace_tool.help		--help names each option
 *   trace_tool.buffer		--buffer
 *   trace_tool.duration	--duration ends it
 *   trace_tool.output_full	its output can take nothing more
 *
 * A line (lines.c):
 *
 *   trace_tool.killed		for a lock in a file, with a waiter
 *   trace_tool.other_signals	signals with a name, and without one
 *   trace_tool.exited		an exit status, private memory, a waiter that is not there
 *   trace_tool.exec		an exec
 *   trace_tool.thread		a thread, which has a TID of its own
 *   trace_tool.thread_exec	the exec of a thread that is not the first
 *   trace_tool.namespace	an owner with another PID in its own namespace
 *   trace_tool.pending		a lock that was being released, and is not held any more
 *   trace_tool.pi		a PI futex
 *   trace_tool.deleted		a file without a name
 *   trace_tool.unmapped	a file that no process has mapped any more
 *   trace_tool.control_characters  names that would act on a terminal
 *   trace_tool.broken		a line for a list that is broken
 *   trace_tool.fault		a line for a list with a lock that cannot be written
 *   trace_tool.compat		a line for a 32-bit list
 *   trace_tool.pid		--pid, of two owners
 *   trace_tool.pid_of_thread	--pid of a thread, and of its process
 *
 * Its forms (forms.c):
 *
 *   trace_tool.colour_terminal	on a terminal, colours
 *   trace_tool.colour_pipe	elsewhere none
 *   trace_tool.no_color	nor with NO_COLOR
 *   trace_tool.no_color_empty	but with an empty one
 *   trace_tool.json		--json
 *   trace_tool.json_endings	--json: a status, an exec
 *   trace_tool.json_terminal	--json has no colours
 *   trace_tool.recorded	the same lines from files of trace-cmd
 *
 * More than there is room for (many.c):
 *
 *   trace_tool.summary		--summary, of a million locks
 *   trace_tool.lost		each event is printed, or counted as lost
 *   trace_tool.million		a million locks with all events: the line for the list
 *				is there and right, what is lost is counted
 *   trace_tool.visit_limit	a list of more locks than a walk visits
 *   trace_tool.time_limit	a list that leads to a page which never comes
 *
 * usage: PROGRAM [owner KIND]
 *
 *	owner KIND  no test: there is one owner, of the KIND killed, exec, thread or million,
 *	            and it ends, for a tool that runs already
 *
 * It runs /bin/robust-trace and /bin/trace-cmd. The output is KTAP. The exit status is 0
 * if every test passed, else 1. The machine is x86_64.
 */
#define _GNU_SOURCE
#include "trace_tool.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int failed;

void check(bool passed, const char *format, ...)
{
	char text[4096];
	va_list arguments;

	if (passed)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	diag("%s", text);
	failed = 1;
}

/* not_mounted unmounts tracefs, and no_rights mounts it for all that follow. */
static const struct test {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "trace_tool.not_mounted", test_not_mounted },
	{ "trace_tool.no_tracefs", test_no_tracefs },
	{ "trace_tool.no_rights", test_no_rights },
	{ "trace_tool.no_events", test_no_events },
	{ "trace_tool.usage", test_usage },
	{ "trace_tool.help", test_help },
	{ "trace_tool.buffer", test_buffer },
	{ "trace_tool.duration", test_duration },
	{ "trace_tool.output_full", test_output_full },
	{ "trace_tool.killed", test_killed },
	{ "trace_tool.other_signals", test_other_signals },
	{ "trace_tool.exited", test_exited },
	{ "trace_tool.exec", test_exec },
	{ "trace_tool.thread", test_thread },
	{ "trace_tool.thread_exec", test_thread_exec },
	{ "trace_tool.namespace", test_namespace },
	{ "trace_tool.pending", test_pending },
	{ "trace_tool.pi", test_pi },
	{ "trace_tool.deleted", test_deleted },
	{ "trace_tool.unmapped", test_unmapped },
	{ "trace_tool.control_characters", test_control_characters },
	{ "trace_tool.broken", test_broken },
	{ "trace_tool.fault", test_fault },
	{ "trace_tool.compat", test_compat },
	{ "trace_tool.pid", test_pid },
	{ "trace_tool.pid_of_thread", test_pid_of_thread },
	{ "trace_tool.colour_terminal", test_colour_terminal },
	{ "trace_tool.colour_pipe", test_colour_pipe },
	{ "trace_tool.no_color", test_no_color },
	{ "trace_tool.no_color_empty", test_no_color_empty },
	{ "trace_tool.json", test_json },
	{ "trace_tool.json_endings", test_json_endings },
	{ "trace_tool.json_terminal", test_json_terminal },
	{ "trace_tool.recorded", test_recorded },
	{ "trace_tool.summary", test_summary },
	{ "trace_tool.lost", test_lost },
	{ "trace_tool.million", test_million },
	{ "trace_tool.visit_limit", test_visit_limit },
	{ "trace_tool.time_limit", test_time_limit },
};

#define TESTS	((int)ARRAY_SIZE(tests))

static const struct {
	const char *kind;
	struct owner owner;
} shown[] = {
	{ "killed", { .comm = "killed", .ending = KILLED, .waiter = true } },
	{ "exec", { .comm = "execs", .ending = EXECS } },
	{ "thread", { .comm = "thread", .ending = THREAD_EXITS } },
	{ "million", { .comm = "million", .ending = KILLED, .place = IN_PRIVATE,
		       .many = 1000000, .releases = true, .waiter = true } },
};

static int show_owner(const char *kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(shown); i++) {
		if (strcmp(shown[i].kind, kind))
			continue;
		let_die(&shown[i].owner);
		/* The tool has the name of the file from those that have it mapped. */
		sleep_ms(1000);
		return failed;
	}
	fprintf(stderr, "trace_tool: no owner is named '%s'\n", kind);
	return 2;
}

static void prepare(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED)
		bail_out("mmap()");
	map_lock_file();
}

int main(int argc, char **argv)
{
	struct robust_list_head *head;
	size_t length;
	int status = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 3 && !strcmp(argv[1], "owner")) {
		prepare();
		return show_owner(argv[2]);
	}
	printf("TAP version 14\n");
	if (access(TRACING, F_OK) ||
	    syscall(SYS_get_robust_list, 0, &head, &length)) {
		printf("1..0 # SKIP the kernel has no tracing, or no robust futexes\n");
		return 0;
	}
	prepare();
	printf("1..%d\n", TESTS);
	for (int i = 0; i < TESTS; i++) {
		failed = 0;
		tests[i].run();
		status |= failed;
		printf("%sok %d %s\n", failed ? "not " : "", i + 1, tests[i].name);
	}
	return status ? 1 : 0;
}
