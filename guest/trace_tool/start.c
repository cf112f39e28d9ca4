// SPDX-License-Identifier: GPL-2.0
/* Where the tool cannot begin, or not go on, and the options for its beginning and end. */
#define _GNU_SOURCE
#include "trace_tool.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#define NO_RIGHTS	65534

/* What the tool's process does before, for expect_failure() */

static void drop_rights(void)
{
	if (setresuid(NO_RIGHTS, NO_RIGHTS, NO_RIGHTS))
		_exit(98);
}

/* What is mounted after this is there for the tool alone. */
static void own_mounts(void)
{
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		_exit(98);
}

static void hide(const char *directory)
{
	own_mounts();
	if (mount("none", directory, "tmpfs", 0, NULL))
		_exit(98);
}

static void hide_events(void)
{
	hide(TRACING "/events/futex");
}

static void hide_systems(void)
{
	hide(TRACING "/events");
}

/* A kernel without tracefs does not name it. With rights the tool would mount it. */
static void hide_tracefs(void)
{
	own_mounts();
	if (mount("/etc/passwd", "/proc/filesystems", NULL, MS_BIND, NULL))
		_exit(98);
	drop_rights();
}

static void fill_output(void)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || dup2(fd, 1) != 1)
		_exit(98);
}

void test_not_mounted(void)
{
	umount(TRACING);
	expect_failure(drop_rights, 1, ARGUMENTS(),
		       "robust-trace: tracefs is not mounted: as root, run 'mount -t tracefs nodev /sys/kernel/tracing'");
}

void test_no_tracefs(void)
{
	expect_failure(hide_tracefs, 1, ARGUMENTS(),
		       "robust-trace: this kernel has no tracefs: it was built without CONFIG_TRACING");
}

void test_no_rights(void)
{
	if (mount("tracefs", TRACING, "tracefs", 0, NULL))
		bail_out("mount tracefs");
	expect_failure(drop_rights, 1, ARGUMENTS(), "robust-trace: cannot write to " TRACING
		       "/instances: run this as root");
}

void test_no_events(void)
{
	static void (*const hidden[])(void) = { hide_events, hide_systems };

	for (size_t i = 0; i < ARRAY_SIZE(hidden); i++)
		expect_failure(hidden[i], 1, ARGUMENTS(),
			       "robust-trace: this kernel has no trace events of robust futexes: "
			       TRACING "/events/futex/robust_walk is missing");
}

void test_usage(void)
{
	expect_failure(NULL, 2, ARGUMENTS("--nonsense"),
		       "robust-trace: see 'robust-trace --help'");
	expect_failure(NULL, 2, ARGUMENTS("one", "two"),
		       "robust-trace: reads one file at most: see 'robust-trace --help'");
	expect_failure(NULL, 2, ARGUMENTS("--pid", "12x"),
		       "robust-trace: --pid needs a number above 0, not '12x'");
	expect_failure(NULL, 2, ARGUMENTS("--pid", "0"),
		       "robust-trace: --pid needs a number above 0, not '0'");
	expect_failure(NULL, 2, ARGUMENTS("--duration", "-1"),
		       "robust-trace: --duration needs a number above 0, not '-1'");
	expect_failure(NULL, 2, ARGUMENTS("--duration", "1", "/etc/passwd"),
		       "robust-trace: --duration and --buffer are not for a file");
	expect_failure(NULL, 1, ARGUMENTS("/nonexistent"),
		       "robust-trace: cannot read /nonexistent: No such file or directory");
	expect_failure(NULL, 1, ARGUMENTS("/etc/passwd"),
		       "robust-trace: cannot read /etc/passwd as a file of trace-cmd");
}

void test_help(void)
{
	static const char * const options[] = {
		"-s, --summary ", "-p, --pid PID ", "-j, --json ", "-d, --duration N ",
		"-b, --buffer KIB ", "-h, --help ",
	};
	static const struct how how;
	struct tool tool;

	start_program(&tool, &how, ARGUMENTS("--help"));
	collect(&tool);
	finish_tool(&tool);
	check(WIFEXITED(tool.status) && !WEXITSTATUS(tool.status), "status 0x%x", tool.status);
	check(!strncmp(tool.text, "usage: robust-trace ", 20), "it begins '%.40s'", tool.text);
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		check(!!strstr(tool.text, options[i]), "no '%s'", options[i]);
}

void test_buffer(void)
{
	struct tool tool;
	char size[64];

	start_tool(&tool, ARGUMENTS("--buffer", "128"));
	read_instance(&tool, "/per_cpu/cpu0/buffer_size_kb", size, sizeof(size));
	/* The kernel rounds it up to whole pages. */
	check(atoi(size) >= 128 && atoi(size) < 136, "'%s' KiB", size);
	stop_tool(&tool);
}

void test_duration(void)
{
	struct owner owner = { .comm = "in time", .ending = EXITS };
	long long began = now_ms(), took;
	struct tool tool;
	pid_t pid;

	start_tool(&tool, ARGUMENTS("--duration", "3"));
	pid = let_die(&owner);
	finish_tool(&tool);
	took = now_ms() - began;
	check(WIFEXITED(tool.status) && !WEXITSTATUS(tool.status), "status 0x%x", tool.status);
	check(took >= 3000 && took < TIME_LIMIT, "it ends after %lld ms", took);
	expect_line(&tool, "in time[%d]: exit status 3: " LOCK_FILE "+0x%zx: marked, no waiter\n",
		    pid, WORD_OFFSET);
}

void test_output_full(void)
{
	struct owner owner = { .comm = "unheard", .ending = EXITS };
	struct how how = { .prepare = fill_output };
	struct tool tool;

	start_tool_as(&tool, &how, ARGUMENTS());
	let_die(&owner);
	/* It ends by itself, unless the signal is first. */
	stop_tool_with(&tool, 1);
	check(!strcmp(tool.errors, "robust-trace: cannot write: No space left on device\n"),
	      "it says '%s'", tool.errors);
}
