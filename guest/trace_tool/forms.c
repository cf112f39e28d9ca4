// SPDX-License-Identifier: GPL-2.0
/* Colours, JSON, and what comes from a file. */
#define _GNU_SOURCE
#include "trace_tool.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECORDED	"/tmp/trace_tool.dat"
#define BOLD		"\033[1m"
#define RED		"\033[31m"
#define PLAIN		"\033[m"

/* Let an owner be killed in front of the tool, and expect colours or none. */
static void expect_colours(const struct how *how, bool coloured)
{
	struct owner owner = { .comm = "colours", .ending = KILLED, .waiter = true };
	struct tool tool;
	pid_t pid;

	start_tool_as(&tool, how, ARGUMENTS());
	pid = let_die(&owner);
	stop_tool(&tool);
	check(coloured || !strchr(tool.text, '\033'), "there are colours");
	expect_line(&tool, "%scolours[%d]%s: %skilled by SIGKILL%s: " LOCK_FILE "+0x%zx: marked, waiter woken\n",
		    coloured ? BOLD : "", pid, coloured ? PLAIN : "", coloured ? RED : "",
		    coloured ? PLAIN : "", WORD_OFFSET);
}

void test_colour_terminal(void)
{
	struct how how = { .terminal = true };

	expect_colours(&how, true);
}

void test_colour_pipe(void)
{
	struct how how = { .terminal = false };

	expect_colours(&how, false);
}

/* Any value counts. */
void test_no_color(void)
{
	static const char * const values[] = { "1", "0", " " };

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		struct how how = { .terminal = true, .no_color = values[i] };

		expect_colours(&how, false);
	}
}

void test_no_color_empty(void)
{
	struct how how = { .terminal = true, .no_color = "" };

	expect_colours(&how, true);
}

void test_json(void)
{
	struct owner owner = { .comm = "a\"b\\c\td", .ending = KILLED, .waiter = true };
	char expected[512];
	struct tool tool;
	char *second;
	pid_t pid;

	start_tool(&tool, ARGUMENTS("--json"));
	pid = let_die(&owner);
	stop_tool(&tool);
	check(tool.lines == 2, "not two lines: '%s'", tool.text);
	check(!strncmp(tool.text, "{\"event\":\"robust_mark\",\"time\":", 29), "got '%s'",
	      tool.text);
	snprintf(expected, sizeof(expected),
		 ",\"comm\":\"a\\\"b\\\\c\\u0009d\",\"pid\":%d,\"tgid\":%d,\"tid\":%d,\"exec\":false,\"signal\":\"SIGKILL\",\"compat\":false,\"woken\":1,",
		 pid, pid, pid);
	check(!!strstr(tool.text, expected), "expected '%s', got '%s'", expected, tool.text);
	snprintf(expected, sizeof(expected),
		 ",\"value\":%u,\"pending\":false,\"pi\":false,\"located\":true,\"dev\":\"",
		 pid | FUTEX_WAITERS);
	check(!!strstr(tool.text, expected), "expected '%s', got '%s'", expected, tool.text);
	snprintf(expected, sizeof(expected), ",\"offset\":%zu,\"file\":\"" LOCK_FILE "\"}\n",
		 WORD_OFFSET);
	check(!!strstr(tool.text, expected), "expected '%s', got '%s'", expected, tool.text);
	second = strstr(tool.text, "{\"event\":\"robust_walk\"");
	check(second && strstr(second, ",\"marked\":1,\"not_held\":0,\"faults\":0,\"visits\":1,") &&
	      strstr(second, ",\"reason\":\"end\"}\n"), "got '%s'", tool.text);
}

void test_json_endings(void)
{
	static const struct {
		struct owner owner;
		const char *text;
	} endings[] = {
		{ { .comm = "exits", .ending = EXITS },
		  ",\"exec\":false,\"status\":3,\"compat\":false,\"woken\":0," },
		{ { .comm = "execs", .ending = EXECS },
		  ",\"exec\":true,\"compat\":false,\"woken\":0," },
		{ { .comm = "short words", .ending = EXITS, .compat = true },
		  ",\"exec\":false,\"status\":3,\"compat\":true,\"woken\":0," },
	};
	struct tool tool;
	char *first;

	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		start_tool(&tool, ARGUMENTS("--json"));
		let_die(&endings[i].owner);
		stop_tool(&tool);
		/* In both lines */
		first = strstr(tool.text, endings[i].text);
		check(tool.lines == 2 && first && strstr(first + 1, endings[i].text),
		      "expected '%s' twice, got '%s'", endings[i].text, tool.text);
	}
}

void test_json_terminal(void)
{
	struct owner owner = { .comm = "plain", .ending = KILLED };
	struct how how = { .terminal = true };
	struct tool tool;

	start_tool_as(&tool, &how, ARGUMENTS("--json"));
	let_die(&owner);
	stop_tool(&tool);
	check(tool.lines == 2 && !strchr(tool.text, '\033'), "got '%s'", tool.text);
}

/* Let trace-cmd record these events of an owner that is killed, and read its file. */
static void expect_recorded(char *events)
{
	struct owner owner = { .comm = "recorded", .ending = KILLED, .waiter = true };
	char *const record[] = {
		"/bin/trace-cmd", "record", "-q", "-o", RECORDED, "-e", events, NULL
	};
	static const struct how how;
	char place[64], enabled, *from;
	struct tool tool;
	long long end;
	pid_t pid;
	int fd;

	start_program(&tool, &how, record);
	collect(&tool);
	/* It enables the events of the top level. */
	enabled = '0';
	for (end = now_ms() + TIME_LIMIT; enabled != '1' && now_ms() < end; sleep_ms(20)) {
		fd = open(TRACING "/events/futex/robust_mark/enable", O_RDONLY);
		if (fd < 0 || read(fd, &enabled, 1) != 1)
			enabled = '0';
		close(fd);
	}
	check(enabled == '1', "trace-cmd does not enable the events");
	sleep_ms(500);
	pid = let_die(&owner);
	kill(tool.pid, SIGINT);
	finish_tool(&tool);
	check(WIFEXITED(tool.status) && !WEXITSTATUS(tool.status), "trace-cmd: status 0x%x: %s",
	      tool.status, tool.errors);

	start_program(&tool, &how, ARGUMENTS(RECORDED));
	collect(&tool);
	finish_tool(&tool);
	check(!!strstr(tool.text, " inode "), "got '%s' '%s'", tool.text, tool.errors);
	check(WIFEXITED(tool.status) && !WEXITSTATUS(tool.status), "status 0x%x", tool.status);
	/* The file has no name here, as its inode need not be one of this machine. */
	from = strstr(tool.text, ": dev ");
	check(!!from, "no device in '%s'", tool.text);
	snprintf(place, sizeof(place), "%.*s", from ? (int)strcspn(from + 2, "+") : 0,
		 from ? from + 2 : "");
	expect_line(&tool, "recorded[%d]: killed by SIGKILL: %s+0x%zx: marked, waiter woken\n",
		    pid, place, WORD_OFFSET);
	unlink(RECORDED);
}

/* The file of the second has no robust_walk, and not its format either. */
void test_recorded(void)
{
	expect_recorded("futex");
	expect_recorded("futex:robust_mark");
}
