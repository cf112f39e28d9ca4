// SPDX-License-Identifier: GPL-2.0
/*
 * The items of guest/items/ for a guest without a shell: each of them is a link to
 * this program, which uses the name that it is called by.
 *
 *   selftests[:LABEL]      the programs that the futex selftests' own run.sh
 *                          starts, in its order and with its arguments
 *   program:LABEL:NAME     one program of the futex selftests alone
 *   bench[:WHAT[:LABEL]]   the benchmark of robust futexes
 *   unlock_story[:LABEL]   /programs/LABEL/unlock story
 *   NAME[:LABEL[:WORD...]] any other: /programs/LABEL/NAME with those words
 *
 * A line "run ./PROGRAM ARGUMENT..." of run.sh, or one without the "run", starts
 * a program. The argument $COLOR is omitted, as it is empty without a terminal. A line
 * that starts a program in a way that needs a shell is a failed test, so that none is
 * omitted silently.
 *
 * Where there are selftests of the other word size, the first two put the directory of these
 * programs into the environment, as FUTEX_OTHER_SIZE.
 *
 * The output is that of kselftest's runner, but each program is a test, not run.sh, so
 * that the result shows which of them died or took too long.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "parts/output.h"
#include "parts/util.h"

#define LINES_MAX 256
#define WORDS_MAX 64

/* The root of the guest's directories: scripts/check-guest-programs sets another one. */
#ifndef ROOT
#define ROOT ""
#endif

/* Seconds for one program: guest.limit is the limit for all of them. */
#ifndef LIMIT
#define LIMIT 600
#endif

/* The exit status of a test that skipped itself. */
#define SKIPPED 4

/* A line of run.sh that starts a program: its text, its words, and whether it can be run. */
struct command {
	char *line;
	char *words[WORDS_MAX + 1];
	int count;
	int needs_shell;
};

static struct command commands[LINES_MAX];
static int command_count;

/* The selftests of this label, and how they find those of the other word size */
static const char *enter_label(const char *label)
{
	static char path[256];

	snprintf(path, sizeof(path), ROOT "/selftests/%s/other/futex/functional", label);
	if (!access(path, F_OK))
		setenv("FUTEX_OTHER_SIZE", path, 1);
	snprintf(path, sizeof(path), ROOT "/selftests/%s/futex/functional", label);
	return path;
}

static void add_word(struct command *command, char *word)
{
	if (!strcmp(word, "$COLOR"))
		return;
	if (command->count == WORDS_MAX || strpbrk(word, "$`'\"\\|&;<>(){}*?[~#="))
		command->needs_shell = 1;
	else
		command->words[command->count++] = word;
}

static void add_line(char *line)
{
	struct command *command = &commands[command_count];
	char *word, *copy;

	line += strspn(line, " \t");
	line[strcspn(line, "\n")] = 0;
	/* Comments, and other lines that start no program. */
	if (*line == '#' || !strstr(line, "./"))
		return;
	if (command_count == LINES_MAX) {
		fprintf(stderr, "selftests: run.sh starts more than %d programs\n", LINES_MAX);
		exit(1);
	}
	command_count++;
	if (!strncmp(line, "run ", 4))
		line += 4;
	command->line = strdup(line);
	copy = strdup(line);
	while ((word = strtok_r(copy, " \t", &copy)))
		add_word(command, word);
	if (!command->count || strncmp(command->words[0], "./", 2))
		command->needs_shell = 1;
}

static void read_script(const char *path)
{
	FILE *file = fopen(path, "r");
	char line[1024];

	if (!file) {
		fprintf(stderr, "selftests: cannot read %s: %s\n", path, strerror(errno));
		exit(1);
	}
	while (fgets(line, sizeof(line), file))
		add_line(line);
	fclose(file);
}

static int inside_line;

/* Passes on the available output, each line with the prefix of a subtest. */
static int relay(int reader)
{
	char buffer[4096];
	ssize_t got;

	while ((got = read(reader, buffer, sizeof(buffer))) > 0) {
		for (ssize_t i = 0; i < got; i++) {
			if (!inside_line)
				fputs("# ", stdout);
			inside_line = buffer[i] != '\n';
			putchar(buffer[i]);
		}
	}
	return got < 0 && errno == EAGAIN;
}

static void become(struct command *command, int output)
{
	/* It has a process group of its own, so that its signals and orphans stay there. */
	setpgid(0, 0);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	execv(command->words[0], command->words);
	fprintf(stderr, "cannot run %s: %s\n", command->words[0], strerror(errno));
	_exit(127);
}

/* Whether the program ended within the time. */
static int run(struct command *command, int *status)
{
	double deadline = now_seconds() + LIMIT;
	int reader, writer, ended = 0;
	struct pollfd output;
	pid_t pid;

	if (open_output(&reader, &writer)) {
		perror("selftests: no terminal for a program's output");
		exit(1);
	}
	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		perror("selftests: cannot fork");
		exit(1);
	}
	if (!pid)
		become(command, writer);
	setpgid(pid, pid);
	close(writer);

	output.fd = reader;
	output.events = POLLIN;
	while (!ended && now_seconds() < deadline) {
		poll(&output, 1, 20);
		if (!relay(reader))
			output.fd = -1;
		ended = waitpid(pid, status, WNOHANG) == pid;
	}
	/* Processes that it left behind must not disturb the next one. */
	kill(-pid, SIGKILL);
	if (!ended)
		waitpid(pid, status, 0);
	relay(reader);
	close(reader);
	if (inside_line)
		putchar('\n');
	inside_line = 0;
	return ended;
}

static void report(struct command *command, int number)
{
	int status, ended;

	if (command->needs_shell) {
		printf("not ok %d selftests: futex: %s # only a shell can run this line of run.sh\n",
		       number, command->line);
		return;
	}
	printf("# selftests: futex: %s\n", command->line);
	ended = run(command, &status);
	if (ended && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		printf("ok %d", number);
	else if (ended && WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
		printf("ok %d", number);
	else
		printf("not ok %d", number);
	printf(" selftests: futex:");
	for (int i = 0; i < command->count; i++)
		printf(" %s", command->words[i] + (i ? 0 : 2));
	if (!ended)
		printf(" # TIMEOUT %d seconds\n", LIMIT);
	else if (WIFSIGNALED(status))
		printf(" # signal=%d\n", WTERMSIG(status));
	else if (WEXITSTATUS(status) == SKIPPED)
		printf(" # SKIP\n");
	else if (WEXITSTATUS(status))
		printf(" # exit=%d\n", WEXITSTATUS(status));
	else
		printf("\n");
	fflush(stdout);
}

static int selftests(const char *label)
{
	const char *path = enter_label(label);

	if (chdir(path)) {
		fprintf(stderr, "selftests: cannot enter %s: %s\n", path, strerror(errno));
		return 1;
	}
	read_script("run.sh");
	printf("TAP version 13\n1..%d\n", command_count);
	for (int i = 0; i < command_count; i++)
		report(&commands[i], i + 1);
	/* As with kselftest's runner, the results count, not this status. */
	return command_count ? 0 : 1;
}

/* Alone, and so only with the limit of the item */
static int one_program(const char *label, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", enter_label(label), name);
	execl(path, path, NULL);
	fprintf(stderr, "program: cannot run %s: %s\n", path, strerror(errno));
	return 127;
}

static int unlock_story(const char *label)
{
	char path[256];

	snprintf(path, sizeof(path), ROOT "/programs/%s/unlock", label);
	execl(path, path, "story", NULL);
	fprintf(stderr, "unlock_story: cannot run %s: %s\n", path, strerror(errno));
	return 127;
}

static int bench(const char *what, const char *label)
{
	char path[256];
	FILE *file = fopen(ROOT "/proc/sys/kernel/sched_rt_runtime_us", "w");

	/* By default 5 % of the time is reserved for other than real-time threads. */
	if (file) {
		fputs("-1\n", file);
		fclose(file);
	}
	print_clock_source();
	snprintf(path, sizeof(path), ROOT "/selftests/%s/futex/functional/robust_bench", label);
	if (!strcmp(what, "all"))
		execl(path, path, "--unlimited", NULL);
	else if (!strcmp(what, "guard"))
		execl(path, path, "--unlimited", "--measure", "exit", "--locks", "1000000",
		      "--variant", "shared/ordered/none", "--variant", "shared/ordered/bit", NULL);
	else if (!strcmp(what, "free"))
		execl(path, path, "--measure", "exit-nothing", "--measure", "exit-empty",
		      "--measure", "mappings", NULL);
	else if (!strcmp(what, "few"))
		execl(path, path, "--measure", "exit", "--measure", "exit-nothing",
		      "--measure", "exit-empty", "--locks", "1", "--locks", "2",
		      "--locks", "10",
		      "--variant", "shared/ordered/none", "--variant", "shared/ordered/bit", NULL);
	else if (!strcmp(what, "random"))
		execl(path, path, "--unlimited", "--measure", "exit", "--locks", "1000000",
		      "--variant", "shared/shuffled/bit", NULL);
	else if (!strcmp(what, "places"))
		execl(path, path, "--measure", "places", NULL);
	else
		errno = EINVAL;
	fprintf(stderr, "bench: cannot run '%s' of %s: %s\n", what, path, strerror(errno));
	return 2;
}

int main(int argc, char **argv)
{
	const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	const char *label = argc > 1 ? argv[1] : "default";
	char path[256];

	if (!strcmp(name, "selftests"))
		return selftests(label);
	if (!strcmp(name, "program"))
		return one_program(label, argc > 2 ? argv[2] : "");
	if (!strcmp(name, "unlock_story"))
		return unlock_story(label);
	if (!strcmp(name, "bench"))
		return bench(argc > 1 ? argv[1] : "all", argc > 2 ? argv[2] : "default");
	if (!strcmp(name, "runner")) {
		fprintf(stderr,
			"runner: is called by the names of guest/items/, in a guest without a shell\n");
		return 1;
	}
	snprintf(path, sizeof(path), ROOT "/programs/%s/%s", label, name);
	if (argc > 1)
		argv[1] = path;
	else
		argv[0] = path;
	execv(path, argc > 1 ? argv + 1 : argv);
	fprintf(stderr, "%s: cannot run %s: %s\n", name, path, strerror(errno));
	return 127;
}
