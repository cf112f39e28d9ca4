// SPDX-License-Identifier: GPL-2.0
#include "util.h"

#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

double now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

void sleep_ns(long ns)
{
	struct timespec time = { .tv_nsec = ns };

	nanosleep(&time, NULL);
}

void sleep_ms(int ms)
{
	struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };

	nanosleep(&time, NULL);
}

void diag(const char *format, ...)
{
	char text[8192] = "# ";
	va_list arguments;
	size_t length;

	va_start(arguments, format);
	vsnprintf(text + 2, sizeof(text) - 3, format, arguments);
	va_end(arguments);
	length = strlen(text);
	text[length++] = '\n';
	if (write(STDOUT_FILENO, text, length) < 0)
		return;
}

void bail_out(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t length = strlen(text);
	int written = fd >= 0 && write(fd, text, length) == length;

	if (fd >= 0)
		close(fd);
	return written;
}

long long number_in(const char *path, const char *word)
{
	size_t length = strlen(word);
	long long number, found = -1;
	FILE *file = fopen(path, "re");
	char line[256];

	if (!file)
		return found;
	while (found < 0 && fgets(line, sizeof(line), file)) {
		if (strncmp(line, word, length) || (length && !isspace(line[length])))
			continue;
		if (sscanf(line + length, "%lld", &number) == 1)
			found = number;
	}
	fclose(file);
	return found;
}

char task_state(pid_t tid)
{
	char path[64], text[256], *mark;
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	got = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (got <= 0)
		return '?';
	text[got] = 0;
	/* The name of the program, in parentheses, may have parentheses itself. */
	mark = strrchr(text, ')');
	return mark && mark[1] ? mark[2] : '?';
}

int end_of(pid_t pid, int seconds)
{
	long long end = now_ms() + seconds * 1000LL;
	int status;

	while (waitpid(pid, &status, WNOHANG) != pid) {
		if (now_ms() > end) {
			diag("process %d does not exit", pid);
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
			return -1;
		}
		sleep_ms(5);
	}
	return status;
}

/* A coarse clock would spoil the small figures. */
void print_clock_source(void)
{
	char name[64] = "unknown\n";
	FILE *file = fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "r");

	if (file && !fgets(name, sizeof(name), file))
		warn("cannot read the name of the clock source");
	if (file)
		fclose(file);
	printf("# clock source: %s", name);
	fflush(stdout);
}
