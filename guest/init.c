// SPDX-License-Identifier: GPL-2.0
/*
 * PID 1 of the test guest: mounts, runs what the kernel command line names,
 * reports on the console, ends the machine.
 *
 * The kernel command line:
 *
 *   guest.run=ITEM[,ITEM...]  what to run, one after the other. An item is
 *                             NAME[:ARGUMENT...] and runs the program
 *                             /guest/NAME with the arguments. "shell" is built
 *                             in: an interactive shell on the console.
 *   guest.limit=SECONDS       time limit of each item but the shell (600)
 *   guest.off=poweroff        power off at the end. Without it the machine is
 *                             restarted, which QEMU's -no-reboot takes for the
 *                             end: almost every machine can restart
 *   guest.off=stay            stay, until the machine is ended from outside
 *
 * The console is the kernel's too, and a message of the kernel may cut a line
 * of a program in two. So nothing here writes to the console: all output goes
 * through /dev/kmsg, where each line is one record and the kernel keeps them
 * in order. The lines are
 *
 *   guest: Linux RELEASE MACHINE, N CPU(s), runs ITEM,...
 *   guest: begin ITEM
 *   | LINE                    a line that the item's programs wrote;
 *   |+ MORE                   the rest of one too long for a single record
 *   guest: end ITEM STATUS SECONDS s
 *   guest: finished ITEM=STATUS ...
 *
 * where STATUS is the exit status, or signal-N, or timeout. The last line means
 * that the guest came to its end, whatever became of the items. No program can
 * forge a line of the kernel or of this one: its own all begin with the bar.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "parts/output.h"
#include "parts/util.h"

/* The kernel takes up to 976 bytes a record, its prefix for the level included. */
#define RECORD_MAX 900

#define ITEMS_MAX 32
#define WORDS_MAX 32

static int kmsg = -1;

/* What the kernel command line asks for. */
static char *items[ITEMS_MAX];
static int item_count;
static int limit = 600;
static int off = RB_AUTOBOOT;
static int stay;

/* How the items ended, in words, for the last line. */
static char statuses[ITEMS_MAX][16];

/*
 * One line on the console. The level is a warning's: a console that shows the
 * kernel's warnings shows this too.
 */
static void record(const char *lead, const char *text, size_t length)
{
	char line[RECORD_MAX + 16];
	int size;

	size = snprintf(line, sizeof(line), "<12>%s%.*s\n", lead, (int)length, text);
	if (kmsg >= 0 && write(kmsg, line, size) == size)
		return;
	if (write(STDOUT_FILENO, line + 4, size - 4) < 0)
		return;
}

static void say(const char *format, ...)
{
	char text[RECORD_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	record("guest: ", text, strlen(text));
}

/* The output of the item's programs, made into whole lines. */
static struct {
	char text[RECORD_MAX - 4];
	size_t length;
	int rest;		/* the beginning of this line is out already */
} pending;

static void flush_pending(void)
{
	record(pending.rest ? "|+ " : "| ", pending.text, pending.length);
	pending.length = 0;
}

static void relay_byte(char byte)
{
	if (byte == '\n') {
		flush_pending();
		pending.rest = 0;
		return;
	}
	if (byte == '\r')
		return;
	if (pending.length == sizeof(pending.text)) {
		flush_pending();
		pending.rest = 1;
	}
	/* A record ends at the first NUL. */
	pending.text[pending.length++] = byte ? byte : '?';
}

/*
 * Passes on what there is to read, without waiting for more. False once no
 * writer is left.
 */
static int relay(int output)
{
	char buffer[4096];
	ssize_t got;

	while ((got = read(output, buffer, sizeof(buffer))) > 0)
		for (ssize_t i = 0; i < got; i++)
			relay_byte(buffer[i]);
	return got < 0 && errno == EAGAIN;
}

static void set(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	/* Not every kernel has every setting. */
	if (fd < 0)
		return;
	if (write(fd, value, strlen(value)) < 0)
		say("cannot set %s: %s", path, strerror(errno));
	close(fd);
}

static void mount_one(const char *type, const char *place, const char *options)
{
	mkdir(place, 0755);
	if (mount(type, place, type, 0, options))
		say("cannot mount %s on %s: %s", type, place, strerror(errno));
}

/* What a shell expects beside the devices. */
static void link_streams(void)
{
	if (symlink("/proc/self/fd", "/dev/fd") || symlink("fd/0", "/dev/stdin") ||
	    symlink("fd/1", "/dev/stdout") || symlink("fd/2", "/dev/stderr"))
		say("cannot make /dev/stdin and its like: %s", strerror(errno));
}

static void prepare(void)
{
	kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	mount_one("devtmpfs", "/dev", NULL);
	link_streams();
	mount_one("proc", "/proc", NULL);
	mount_one("sysfs", "/sys", NULL);
	mount_one("devpts", "/dev/pts", "ptmxmode=0666");
	mount_one("tmpfs", "/dev/shm", "mode=1777");
	mount_one("tmpfs", "/tmp", "mode=1777");
	mount_one("tmpfs", "/run", "mode=0755");

	/* Else the kernel drops lines once there are more than ten in 5 seconds. */
	set("/proc/sys/kernel/printk_devkmsg", "on\n");
	/* Tests end programs by signals: do not log that. */
	set("/proc/sys/kernel/print-fatal-signals", "0");
	set("/proc/sys/debug/exception-trace", "0");

	setenv("PATH", "/bin:/sbin:/usr/bin:/usr/sbin", 1);
	setenv("HOME", "/tmp", 1);
	setenv("TERM", "linux", 1);
	if (chdir("/tmp"))
		say("cannot enter /tmp: %s", strerror(errno));
}

static void read_command_line(void)
{
	static char line[4096];
	char *word, *item;
	FILE *file = fopen("/proc/cmdline", "r");

	if (!file || !fgets(line, sizeof(line), file))
		say("cannot read /proc/cmdline: %s", strerror(errno));
	if (file)
		fclose(file);

	for (char *rest = line; (word = strtok_r(rest, " \n", &rest));) {
		if (!strncmp(word, "guest.limit=", 12)) {
			limit = atoi(word + 12);
		} else if (!strcmp(word, "guest.off=poweroff")) {
			off = RB_POWER_OFF;
		} else if (!strcmp(word, "guest.off=stay")) {
			stay = 1;
		} else if (!strncmp(word, "guest.run=", 10)) {
			for (word += 10; (item = strtok_r(word, ",", &word));)
				if (item_count < ITEMS_MAX)
					items[item_count++] = item;
		} else if (!strncmp(word, "guest.", 6)) {
			say("unknown setting %s", word);
		}
	}
}

static void introduce(void)
{
	struct utsname name;
	char list[RECORD_MAX / 2] = "";

	uname(&name);
	for (int i = 0; i < item_count; i++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s",
			 i ? "," : "", items[i]);
	say("Linux %s %s, %ld CPU(s), runs %s", name.release, name.machine,
	    sysconf(_SC_NPROCESSORS_ONLN), item_count ? list : "nothing: no guest.run=");
}

/* The terminal behind /dev/console: that one itself can control no session. */
static int open_terminal(void)
{
	char names[256] = "", path[300];
	char *last;
	FILE *file = fopen("/sys/class/tty/console/active", "r");

	if (!file || !fgets(names, sizeof(names), file))
		return -1;
	fclose(file);
	names[strcspn(names, "\n")] = 0;
	/* Of several consoles the last one is /dev/console. */
	last = strrchr(names, ' ');
	snprintf(path, sizeof(path), "/dev/%s", last ? last + 1 : names);
	return open(path, O_RDWR);
}

static void become_shell(void)
{
	int terminal = open_terminal();

	if (terminal >= 0 && ioctl(terminal, TIOCSCTTY, 0) == 0)
		for (int fd = 0; fd < 3; fd++)
			dup2(terminal, fd);
	if (terminal > 2)
		close(terminal);
	if (chdir("/"))
		_exit(127);
	execl("/bin/sh", "-sh", NULL);
	_exit(127);
}

static void become_program(char *item, int output)
{
	char path[256];
	char *words[WORDS_MAX + 1];
	int count = 0, null;

	null = open("/dev/null", O_RDONLY);
	dup2(null, STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	close(null);

	while (count < WORDS_MAX && (words[count] = strtok_r(item, ":", &item)))
		count++;
	words[count] = NULL;
	snprintf(path, sizeof(path), "/guest/%s", words[0]);
	execv(path, words);
	fprintf(stderr, "cannot run %s: %s\n", path, strerror(errno));
	_exit(127);
}

static pid_t start(const char *item, int output)
{
	sigset_t none;
	pid_t pid = fork();

	if (pid)
		return pid;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGCHLD, SIG_DFL);
	/* Only the shell leads a session: the others must gain no terminal. */
	if (output < 0) {
		setsid();
		become_shell();
	}
	setpgid(0, 0);
	become_program(strdup(item), output);
	return -1;
}

/* Reaps all dead children, orphans too; returns whether one of them was pid. */
static int reap(pid_t pid, int *status)
{
	int found = 0, one;
	pid_t dead;

	while ((dead = waitpid(-1, &one, WNOHANG)) > 0) {
		if (dead == pid) {
			*status = one;
			found = 1;
		}
	}
	return found;
}

/*
 * Ends all that an item left behind, so that no item finds the processes of
 * another. A process that outlives SIGKILL hangs in the kernel.
 */
static void kill_all(void)
{
	double deadline = now_seconds() + 10;

	kill(-1, SIGKILL);
	while (waitpid(-1, NULL, WNOHANG) >= 0) {
		if (now_seconds() > deadline) {
			say("trouble: a process outlives SIGKILL");
			set("/proc/sysrq-trigger", "w");
			return;
		}
		poll(NULL, 0, 10);
	}
}

static void interrupt_poll(int signal)
{
	(void)signal;
}

static void run(int number)
{
	const char *item = items[number];
	char *word = statuses[number];
	size_t size = sizeof(statuses[number]);
	int interactive = !strcmp(item, "shell");
	double began = now_seconds(), left;
	int reader, writer, status = 0, done = 0;
	struct timespec timeout;
	struct pollfd output;
	sigset_t none;
	pid_t pid;

	say("begin %s", item);
	if (open_output(&reader, &writer)) {
		snprintf(word, size, "127");
		say("end %s 127 0.0 s, no terminal for its output: %s", item, strerror(errno));
		return;
	}
	pid = start(item, interactive ? -1 : writer);
	close(writer);

	sigemptyset(&none);
	output.fd = reader;
	output.events = POLLIN;
	while (!done) {
		left = interactive ? 3600 : began + limit - now_seconds();
		if (left <= 0)
			break;
		timeout.tv_sec = (time_t)left;
		timeout.tv_nsec = (long)((left - (time_t)left) * 1e9);
		/* The mask lets SIGCHLD in only here, so that none is missed. */
		if (ppoll(&output, 1, &timeout, &none) > 0 && !relay(reader))
			output.fd = -1;
		done = reap(pid, &status);
	}
	kill_all();
	relay(reader);
	close(reader);
	if (pending.length)
		relay_byte('\n');

	if (!done)
		snprintf(word, size, "timeout");
	else if (WIFSIGNALED(status))
		snprintf(word, size, "signal-%d", WTERMSIG(status));
	else
		snprintf(word, size, "%d", WEXITSTATUS(status));
	say("end %s %s %.1f s", item, word, now_seconds() - began);
}

static void report(void)
{
	char list[RECORD_MAX - 100] = "";

	for (int i = 0; i < item_count; i++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list), " %s=%s",
			 items[i], statuses[i]);
	say("finished%s", list);
}

int main(void)
{
	struct sigaction action = { .sa_handler = interrupt_poll };
	sigset_t child;

	if (getpid() != 1) {
		fprintf(stderr,
			"init: not process 1: only the kernel of the test guest may start this, see scripts/boot-guest\n");
		return 1;
	}
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	sigaction(SIGCHLD, &action, NULL);

	prepare();
	read_command_line();
	introduce();
	for (int i = 0; i < item_count; i++)
		run(i);
	report();

	sync();
	if (!stay)
		reboot(off);
	/* It did not work, but the console already says that all is done. */
	for (;;)
		pause();
}
