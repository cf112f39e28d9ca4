// SPDX-License-Identifier: GPL-2.0
/* The tool as it runs, what it prints, and what it has to print. */
#define _GNU_SOURCE
#include "trace_tool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "parts/output.h"

/* Of its output, what is kept of the beginning */
#define TEXT_MAX	(64 << 10)

static char text[TEXT_MAX];
static pthread_t reader;

void start_program(struct tool *tool, const struct how *how, char *const *arguments)
{
	int out[2], err[2];

	if (how->terminal ? open_output(&out[0], &out[1]) : pipe2(out, O_CLOEXEC))
		bail_out("no terminal, or no pipe");
	if (pipe2(err, O_CLOEXEC))
		bail_out("pipe2()");
	memset(tool, 0, sizeof(*tool));
	tool->text = text;
	tool->pid = fork();
	if (!tool->pid) {
		alarm(3 * WAIT_LIMIT);
		dup2(out[1], 1);
		dup2(err[1], 2);
		if (how->no_color)
			setenv("NO_COLOR", how->no_color, 1);
		else
			unsetenv("NO_COLOR");
		if (how->prepare)
			how->prepare();
		execv(arguments[0], arguments);
		_exit(97);
	}
	close(out[1]);
	close(err[1]);
	tool->out = out[0];
	tool->err = err[0];
}

/* Of one line there is so much. At its end it is the last one. */
static size_t add_to_line(struct tool *tool, char *line, size_t length, char byte)
{
	if (length < LINE_SIZE - 1)
		line[length++] = byte;
	if (byte != '\n')
		return length;
	line[length] = 0;
	tool->lines++;
	strcpy(tool->before, tool->last);
	strcpy(tool->last, line);
	return 0;
}

static void *read_output(void *arg)
{
	struct tool *tool = arg;
	struct pollfd output = { .fd = tool->out, .events = POLLIN };
	size_t length = 0, in_line = 0;
	char buffer[4096], line[LINE_SIZE];
	ssize_t got, i;

	for (;;) {
		poll(&output, 1, -1);
		got = read(tool->out, buffer, sizeof(buffer));
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		/* A terminal that the other end has left is an error. */
		if (got <= 0)
			break;
		for (i = 0; i < got; i++) {
			if (length < TEXT_MAX - 1)
				text[length++] = buffer[i];
			in_line = add_to_line(tool, line, in_line, buffer[i]);
		}
	}
	text[length] = 0;
	return NULL;
}

void collect(struct tool *tool)
{
	text[0] = 0;
	if (pthread_create(&reader, NULL, read_output, tool))
		bail_out("pthread_create()");
}

/* Read a line of it, without its end. */
static bool read_error_line(struct tool *tool, char *line, size_t size)
{
	size_t length = 0;

	while (length < size - 1 && read(tool->err, line + length, 1) == 1 &&
	       line[length] != '\n')
		length++;
	line[length] = 0;
	return length;
}

void start_tool_as(struct tool *tool, const struct how *how, char *const *arguments)
{
	char line[256];

	start_program(tool, how, arguments);
	check(read_error_line(tool, line, sizeof(line)) &&
	      !strcmp(line, "robust-trace: tracing"), "it says '%s'", line);
	collect(tool);
}

void start_tool(struct tool *tool, char *const *arguments)
{
	static const struct how how;

	start_tool_as(tool, &how, arguments);
}

void finish_tool(struct tool *tool)
{
	ssize_t length;

	pthread_join(reader, NULL);
	length = read(tool->err, tool->errors, sizeof(tool->errors) - 1);
	tool->errors[length < 0 ? 0 : length] = 0;
	waitpid(tool->pid, &tool->status, 0);
	close(tool->out);
	close(tool->err);
}

static void instance_file(const struct tool *tool, const char *name, char *path, size_t size)
{
	snprintf(path, size, TRACING "/instances/robust-trace-%d%s", tool->pid, name);
}

void stop_tool_with(struct tool *tool, int status)
{
	char path[256];

	kill(tool->pid, SIGINT);
	finish_tool(tool);
	check(WIFEXITED(tool->status) && WEXITSTATUS(tool->status) == status,
	      "it ends with status 0x%x", tool->status);
	instance_file(tool, "", path, sizeof(path));
	check(access(path, F_OK), "it leaves %s behind", path);
}

void stop_tool(struct tool *tool)
{
	stop_tool_with(tool, 0);
}

void read_instance(const struct tool *tool, const char *name, char *value, size_t size)
{
	char path[256];
	ssize_t got = -1;
	int fd;

	instance_file(tool, name, path, sizeof(path));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		got = read(fd, value, size - 1);
		close(fd);
	}
	check(got > 0, "cannot read %s", path);
	value[got > 0 ? got : 0] = 0;
	value[strcspn(value, "\n")] = 0;
}

void expect_line(struct tool *tool, const char *format, ...)
{
	unsigned long long seconds, fraction;
	char expected[LINE_SIZE];
	va_list arguments;
	int at = 0;

	va_start(arguments, format);
	vsnprintf(expected, sizeof(expected), format, arguments);
	va_end(arguments);
	/* A colour may come right behind the time. */
	check(sscanf(tool->text, "%llu.%6llu%n", &seconds, &fraction, &at) == 2 &&
	      tool->text[at] == ' ' && !strcmp(tool->text + at + 1, expected),
	      "expected '%s', got '%s'", expected, tool->text);
}

void expect_failure(void (*prepare)(void), int status, char *const *arguments,
		    const char *format, ...)
{
	struct how how = { .prepare = prepare };
	char line[LINE_SIZE], expected[LINE_SIZE];
	struct tool tool;
	va_list list;

	va_start(list, format);
	vsnprintf(expected, sizeof(expected), format, list);
	va_end(list);
	start_program(&tool, &how, arguments);
	/* The last one: getopt() may say something before. */
	line[0] = 0;
	while (read_error_line(&tool, tool.errors, sizeof(tool.errors)))
		snprintf(line, sizeof(line), "%.*s", LINE_SIZE - 1, tool.errors);
	waitpid(tool.pid, &tool.status, 0);
	check(WIFEXITED(tool.status) && WEXITSTATUS(tool.status) == status,
	      "status 0x%x instead of %d", tool.status, status);
	check(!strcmp(line, expected), "expected '%s', got '%s'", expected, line);
	close(tool.out);
	close(tool.err);
}
