// SPDX-License-Identifier: GPL-2.0
/*
 * What robust-trace, of tools/futex/ in the kernel tree, prints for owners that end in
 * different ways, with locks of different kinds.
 *
 * The tests:
 *
 *   trace_tool.not_mounted	without tracefs and without rights it says so
 *   trace_tool.no_rights	the same with tracefs
 *   trace_tool.usage		wrong options and files end it, with a line that says why
 *   trace_tool.killed		a line for a lock in a file, with a waiter
 *   trace_tool.exited		an exit status, private memory, a waiter that is not there
 *   trace_tool.exec		an exec
 *   trace_tool.thread		a thread, which has a TID of its own
 *   trace_tool.pending		a lock that was being released, and is not held any more
 *   trace_tool.broken		a line for a list that is broken
 *   trace_tool.pid		--pid, of two owners
 *   trace_tool.json		--json
 *   trace_tool.summary		--summary, of a million locks
 *   trace_tool.lost		each event is printed, or counted as lost
 *   trace_tool.visit_limit	a list of more locks than a walk visits
 *   trace_tool.time_limit	a list that leads to a page which never comes
 *   trace_tool.recorded	the same lines from a file of trace-cmd
 *
 * usage: PROGRAM
 *
 * It runs /bin/robust-trace and /bin/trace-cmd. The output is KTAP. The exit status is 0
 * if every test passed, else 1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "parts/util.h"

#define TRACING		"/sys/kernel/tracing"
#define TOOL		"/bin/robust-trace"
#define LOCK_FILE	"/tmp/trace_tool.locks"
#define RECORDED	"/tmp/trace_tool.dat"
#define LOCK_OFFSET	64
#define TIME_LIMIT	30000
#define MILLION		1000000
/* Of a walk: kernel/futex/robust.c has both as well */
#define VISIT_LIMIT	(16 * 1024 * 1024)
#define WAIT_LIMIT	60
#define OUTPUT_MAX	(64 << 20)

struct lock {
	struct robust_list list;
	volatile unsigned int word;
};

/* How an owner ends */
enum ending {
	KILLED,
	EXITS,
	EXECS,
	THREAD_EXITS,
};

/* What an owner does. It has one lock, unless @many says how many */
struct owner {
	const char *comm;
	enum ending ending;
	bool private;
	bool pending;		/* the lock is not held, and pending */
	bool broken;		/* the link of the lock is NULL */
	bool late;		/* it leads to a page that never comes */
	bool waiter;
	unsigned int many;
};

/* Shared with the owner */
struct shared {
	volatile int ready;
	volatile int go;
	volatile pid_t tid;
	volatile bool waits;
	const volatile unsigned int *volatile word;
};

/* robust-trace as it runs, and what it has printed */
struct tool {
	pid_t pid;
	int out, err;
	char *text;		/* its standard output, once it has ended */
	char errors[4096];
	int status;
};

static struct shared *shared;
static struct lock *file_lock;
static int failed;

static void __printf(2, 3) check(bool passed, const char *format, ...)
{
	char text[512];
	va_list arguments;

	if (passed)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	diag("%s", text);
	failed = 1;
}

static bool wait_for(const volatile int *flag)
{
	long long end = now_ms() + TIME_LIMIT;

	while (!*flag && now_ms() < end)
		sleep_ms(1);
	return *flag;
}

static struct robust_list_head *new_list(struct lock *locks, unsigned int many)
{
	static struct robust_list_head head;
	unsigned int i;

	head.futex_offset = offsetof(struct lock, word);
	head.list_op_pending = NULL;
	head.list.next = &locks[0].list;
	for (i = 0; i < many; i++)
		locks[i].list.next = i + 1 < many ? &locks[i + 1].list : &head.list;
	return &head;
}

/* A page that userfaultfd holds back, also after an exec has closed the descriptor here */
static struct lock *late_page(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	void *page;

	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	range.range.start = (uintptr_t)page;
	range.range.len = 4096;
	if (fd < 0 || page == MAP_FAILED || ioctl(fd, UFFDIO_API, &api) ||
	    ioctl(fd, UFFDIO_REGISTER, &range))
		_exit(96);
	if (!fork()) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	return page;
}

static void own(const struct owner *owner)
{
	unsigned int many = owner->many ? owner->many : 1, i;
	struct lock *locks = file_lock;
	struct robust_list_head *head;
	pid_t tid = syscall(SYS_gettid);

	prctl(PR_SET_NAME, owner->comm);
	if (owner->private) {
		locks = mmap(NULL, many * sizeof(*locks), PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (locks == MAP_FAILED)
			_exit(99);
	}
	head = new_list(locks, many);
	for (i = 0; i < many; i++)
		locks[i].word = tid | (owner->waiter ? FUTEX_WAITERS : 0);
	if (owner->pending) {
		head->list_op_pending = head->list.next;
		head->list.next = &head->list;
		locks[0].word = 0;
	}
	if (owner->broken)
		locks[0].list.next = NULL;
	if (owner->late)
		locks[0].list.next = &late_page()->list;
	syscall(SYS_set_robust_list, head, sizeof(*head));
	shared->tid = tid;
	shared->word = &locks[0].word;
	shared->ready = 1;
	while (!shared->go)
		sleep_ms(1);
}

static void *own_as_thread(void *owner)
{
	own(owner);
	syscall(SYS_exit, 7);
	return NULL;
}

static void run_owner(const struct owner *owner)
{
	pthread_t thread;

	if (owner->ending == THREAD_EXITS) {
		pthread_create(&thread, NULL, own_as_thread, (void *)owner);
		pthread_join(thread, NULL);
		/* Its own list is empty. */
		_exit(0);
	}
	own(owner);
	if (owner->ending == EXECS)
		execl("/programs/default/timeout", "timeout", NULL);
	if (owner->ending == KILLED)
		kill(getpid(), SIGKILL);
	_exit(owner->ending == EXITS ? 3 : 99);
}

/* Sleeps on the word in the file until it is woken; 0 if it was */
static void run_waiter(void)
{
	unsigned int word = file_lock->word;

	shared->waits = true;
	if (syscall(SYS_futex, &file_lock->word, FUTEX_WAIT, word, NULL, NULL, 0))
		_exit(1);
	_exit(0);
}

/* Returns the PID of the new owner, once it has its locks; its TID is in shared->tid. */
static pid_t start_owner(const struct owner *owner)
{
	pid_t pid;

	memset(shared, 0, sizeof(*shared));
	pid = fork();
	if (!pid)
		run_owner(owner);
	check(wait_for(&shared->ready), "the owner does not start");
	return pid;
}

/* Start a waiter if there is to be one, and let the owner end. */
static void end_owner(const struct owner *owner, pid_t pid)
{
	pid_t waiter = 0;
	int status;

	if (owner->waiter) {
		waiter = fork();
		if (!waiter)
			run_waiter();
		while (!shared->waits || task_state(waiter) != 'S')
			sleep_ms(1);
	}
	shared->go = 1;
	waitpid(pid, &status, 0);
	if (waiter) {
		long long end = now_ms() + TIME_LIMIT;
		pid_t ended;

		while (!(ended = waitpid(waiter, &status, WNOHANG)) && now_ms() < end)
			sleep_ms(1);
		if (ended != waiter) {
			check(false, "the waiter still sleeps");
			kill(waiter, SIGKILL);
			waitpid(waiter, &status, 0);
		}
	}
}

static pid_t let_die(const struct owner *owner)
{
	pid_t pid = start_owner(owner);

	end_owner(owner, pid);
	return pid;
}

/* Read a line of it, without its end, within the time limit. */
static bool read_error_line(struct tool *tool, char *line, size_t size)
{
	size_t length = 0;

	while (length < size - 1 && read(tool->err, line + length, 1) == 1 &&
	       line[length] != '\n')
		length++;
	line[length] = 0;
	return length;
}

static void start_program(struct tool *tool, uid_t uid, char *const *arguments)
{
	int out[2], err[2];

	if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		bail_out("pipe2()");
	memset(tool, 0, sizeof(*tool));
	tool->pid = fork();
	if (!tool->pid) {
		alarm(3 * WAIT_LIMIT);
		dup2(out[1], 1);
		dup2(err[1], 2);
		if (uid && setresuid(uid, uid, uid))
			_exit(98);
		execv(arguments[0], arguments);
		_exit(97);
	}
	close(out[1]);
	close(err[1]);
	tool->out = out[0];
	tool->err = err[0];
}

static void *read_output(void *arg)
{
	struct tool *tool = arg;
	size_t length = 0;
	ssize_t got;

	while (length < OUTPUT_MAX - 1) {
		got = read(tool->out, tool->text + length, OUTPUT_MAX - 1 - length);
		if (got <= 0)
			break;
		length += got;
	}
	tool->text[length] = 0;
	return NULL;
}

static char output[OUTPUT_MAX];
static pthread_t reader;

/* Start the tool, and return when it follows the events. */
static void start_tool(struct tool *tool, char *const *arguments)
{
	char line[256];

	start_program(tool, 0, arguments);
	tool->text = output;
	output[0] = 0;
	check(read_error_line(tool, line, sizeof(line)) &&
	      !strcmp(line, "robust-trace: tracing"), "it says '%s'", line);
	pthread_create(&reader, NULL, read_output, tool);
}

/* Its output is complete after this. */
static void finish_tool(struct tool *tool)
{
	ssize_t length;

	pthread_join(reader, NULL);
	length = read(tool->err, tool->errors, sizeof(tool->errors) - 1);
	tool->errors[length < 0 ? 0 : length] = 0;
	waitpid(tool->pid, &tool->status, 0);
	close(tool->out);
	close(tool->err);
}

static void stop_tool(struct tool *tool)
{
	kill(tool->pid, SIGINT);
	finish_tool(tool);
	check(WIFEXITED(tool->status) && !WEXITSTATUS(tool->status), "it ends with status 0x%x",
	      tool->status);
}

static unsigned int count_lines(const char *text)
{
	unsigned int lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

/* The output must be one line: a time in seconds, and then just this. */
static void __printf(2, 3) expect_line(struct tool *tool, const char *format, ...)
{
	unsigned long long seconds, fraction;
	char expected[512];
	va_list arguments;
	int at = 0;

	va_start(arguments, format);
	vsnprintf(expected, sizeof(expected), format, arguments);
	va_end(arguments);
	check(sscanf(tool->text, "%llu.%6llu %n", &seconds, &fraction, &at) == 2 && at &&
	      !strcmp(tool->text + at, expected), "expected '%s', got '%s'", expected, tool->text);
}

/* The program must fail with this line and status. */
static void __printf(4, 5) expect_failure(uid_t uid, int status, char *const *arguments,
					  const char *format, ...)
{
	char line[512], expected[512];
	struct tool tool;
	va_list list;

	va_start(list, format);
	vsnprintf(expected, sizeof(expected), format, list);
	va_end(list);
	start_program(&tool, uid, arguments);
	/* The last one: getopt() may say something before. */
	line[0] = 0;
	while (read_error_line(&tool, tool.errors, sizeof(tool.errors)))
		snprintf(line, sizeof(line), "%.511s", tool.errors);
	waitpid(tool.pid, &tool.status, 0);
	check(WIFEXITED(tool.status) && WEXITSTATUS(tool.status) == status,
	      "status 0x%x instead of %d", tool.status, status);
	check(!strcmp(line, expected), "expected '%s', got '%s'", expected, line);
	close(tool.out);
	close(tool.err);
}

#define ARGUMENTS(...)	((char *const []){ TOOL, ##__VA_ARGS__, NULL })

static void test_not_mounted(void)
{
	umount(TRACING);
	expect_failure(65534, 1, ARGUMENTS(),
		       "robust-trace: tracefs is not mounted: as root, run 'mount -t tracefs nodev /sys/kernel/tracing'");
}

static void test_no_rights(void)
{
	if (mount("tracefs", TRACING, "tracefs", 0, NULL))
		bail_out("mount tracefs");
	expect_failure(65534, 1, ARGUMENTS(), "robust-trace: cannot write to " TRACING
		       "/instances: run this as root");
}

static void test_usage(void)
{
	expect_failure(0, 2, ARGUMENTS("--nonsense"),
		       "robust-trace: see 'robust-trace --help'");
	expect_failure(0, 2, ARGUMENTS("one", "two"),
		       "robust-trace: reads one file at most: see 'robust-trace --help'");
	expect_failure(0, 2, ARGUMENTS("--pid", "12x"),
		       "robust-trace: --pid needs a number above 0, not '12x'");
	expect_failure(0, 2, ARGUMENTS("--duration", "-1"),
		       "robust-trace: --duration needs a number above 0, not '-1'");
	expect_failure(0, 1, ARGUMENTS("/nonexistent"),
		       "robust-trace: cannot read /nonexistent: No such file or directory");
	expect_failure(0, 1, ARGUMENTS("/etc/passwd"),
		       "robust-trace: /etc/passwd is no file of trace-cmd's");
}

static void test_killed(void)
{
	struct owner owner = { .comm = "two words", .ending = KILLED, .waiter = true };
	struct tool tool;
	pid_t pid;

	start_tool(&tool, ARGUMENTS());
	pid = let_die(&owner);
	stop_tool(&tool);
	expect_line(&tool, "two words[%d]: killed by SIGKILL: " LOCK_FILE "+0x%zx: marked, waiter woken\n",
		    pid, LOCK_OFFSET + offsetof(struct lock, word));
}

static void test_exited(void)
{
	struct owner owner = { .comm = "exits", .ending = EXITS, .private = true };
	struct tool tool;
	pid_t pid;

	start_tool(&tool, ARGUMENTS());
	pid = let_die(&owner);
	stop_tool(&tool);
	expect_line(&tool, "exits[%d]: exit status 3: private 0x%llx: marked, no waiter\n", pid,
		    (unsigned long long)(uintptr_t)shared->word);
}

static void test_exec(void)
{
	struct owner owner = { .comm = "execs", .ending = EXECS };
	struct tool tool;
	pid_t pid;

	start_tool(&tool, ARGUMENTS());
	pid = let_die(&owner);
	stop_tool(&tool);
	expect_line(&tool, "execs[%d]: exec: " LOCK_FILE "+0x%zx: marked, no waiter\n", pid,
		    LOCK_OFFSET + offsetof(struct lock, word));
}

static void test_thread(void)
{
	struct owner owner = { .comm = "thread", .ending = THREAD_EXITS };
	struct tool tool;
	pid_t pid;

	start_tool(&tool, ARGUMENTS());
	pid = let_die(&owner);
	stop_tool(&tool);
	check(pid != shared->tid, "the thread has the TID of the process");
	expect_line(&tool, "thread[%d/%d]: exit status 7: " LOCK_FILE "+0x%zx: marked, no waiter\n",
		    pid, shared->tid, LOCK_OFFSET + offsetof(struct lock, word));
}

static void test_pending(void)
{
	struct owner owner = { .comm = "releases", .ending = KILLED, .pending = true };
	struct tool tool;
	pid_t pid;

	start_tool(&tool, ARGUMENTS());
	pid = let_die(&owner);
	stop_tool(&tool);
	expect_line(&tool, "releases[%d]: killed by SIGKILL: " LOCK_FILE "+0x%zx (pending): not held, no waiter\n",
		    pid, LOCK_OFFSET + offsetof(struct lock, word));
}

static void test_broken(void)
{
	struct owner owner = { .comm = "broken", .ending = EXITS, .broken = true };
	struct tool tool;
	const char *second;
	unsigned long long us;
	int at = 0;

	start_tool(&tool, ARGUMENTS());
	let_die(&owner);
	stop_tool(&tool);
	check(count_lines(tool.text) == 2, "not two lines: '%s'", tool.text);
	second = strstr(tool.text, "robust list: ");
	check(second && sscanf(second, "robust list: 1 marked, 0 woken, 0 not held, 0 faults, 1 visit in %llu us, ended at a link that is NULL%n",
			       &us, &at) == 1 && at, "got '%s'", tool.text);
}

static void test_pid(void)
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
		    pid, LOCK_OFFSET + offsetof(struct lock, word));
}

static void test_json(void)
{
	struct owner owner = { .comm = "a\"b\\c\td", .ending = KILLED, .waiter = true };
	char expected[512];
	struct tool tool;
	char *second;
	pid_t pid;

	start_tool(&tool, ARGUMENTS("--json"));
	pid = let_die(&owner);
	stop_tool(&tool);
	check(count_lines(tool.text) == 2, "not two lines: '%s'", tool.text);
	check(!strncmp(tool.text, "{\"event\":\"robust_mark\",\"time\":", 29), "got '%s'",
	      tool.text);
	snprintf(expected, sizeof(expected),
		 ",\"comm\":\"a\\\"b\\\\c\\u0009d\",\"pid\":%d,\"tgid\":%d,\"tid\":%d,\"exec\":false,\"signal\":\"SIGKILL\",\"compat\":false,\"woken\":1,",
		 pid, pid, pid);
	check(!!strstr(tool.text, expected), "expected '%s', got '%s'", expected, tool.text);
	snprintf(expected, sizeof(expected),
		 ",\"value\":%u,\"pending\":false,\"pi\":false,\"dev\":\"", pid | FUTEX_WAITERS);
	check(!!strstr(tool.text, expected), "expected '%s', got '%s'", expected, tool.text);
	snprintf(expected, sizeof(expected), ",\"offset\":%zu,\"file\":\"" LOCK_FILE "\"}\n",
		 LOCK_OFFSET + offsetof(struct lock, word));
	check(!!strstr(tool.text, expected), "expected '%s', got '%s'", expected, tool.text);
	second = strstr(tool.text, "{\"event\":\"robust_walk\"");
	check(second && strstr(second, ",\"marked\":1,\"not_held\":0,\"faults\":0,\"visits\":1,") &&
	      strstr(second, ",\"reason\":\"end\"}\n"), "got '%s'", tool.text);
}

static void test_summary(void)
{
	struct owner owner = {
		.comm = "million", .ending = KILLED, .private = true, .many = MILLION,
	};
	unsigned long long us = 0;
	char *at;
	struct tool tool;

	start_tool(&tool, ARGUMENTS("--summary"));
	let_die(&owner);
	stop_tool(&tool);
	at = strstr(tool.text, "robust list: ");
	check(count_lines(tool.text) == 1 && at &&
	      sscanf(at, "robust list: 1000000 marked, 0 woken, 0 not held, 0 faults, 1000000 visits in %llu us",
		     &us) == 1 && strstr(at, " us, ended at its end\n"), "got '%s'", tool.text);
	diag("%llu us for a million locks", us);
}

static void test_lost(void)
{
	struct owner owner = {
		.comm = "many", .ending = KILLED, .private = true, .many = MILLION / 10,
	};
	unsigned long long lines, lost = 0;
	struct tool tool;

	start_tool(&tool, ARGUMENTS("--buffer", "64"));
	let_die(&owner);
	stop_tool(&tool);
	lines = count_lines(tool.text);
	check(sscanf(tool.errors, "robust-trace: %llu events were lost", &lost) == 1,
	      "it says '%s'", tool.errors);
	diag("%llu printed, %llu lost", lines, lost);
	/* The event of the walk is not printed, and is not lost, being the last. */
	check(lines + lost == owner.many, "%llu and %llu are not %u", lines, lost, owner.many);
}

static void test_visit_limit(void)
{
	struct owner owner = {
		.comm = "too many", .ending = KILLED, .private = true, .many = VISIT_LIMIT + 1,
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

static void test_time_limit(void)
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

static void test_recorded(void)
{
	struct owner owner = { .comm = "recorded", .ending = KILLED, .waiter = true };
	char *const record[] = {
		"/bin/trace-cmd", "record", "-q", "-o", RECORDED, "-e", "futex", NULL
	};
	char place[64], enabled, *from;
	struct tool tool;
	long long end;
	pid_t pid;
	int fd;

	start_program(&tool, 0, record);
	tool.text = output;
	pthread_create(&reader, NULL, read_output, &tool);
	/* It enables the events of the top level. */
	enabled = '0';
	for (end = now_ms() + TIME_LIMIT; enabled != '1' && now_ms() < end; sleep_ms(20)) {
		fd = open(TRACING "/events/futex/robust_walk/enable", O_RDONLY);
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

	start_program(&tool, 0, ARGUMENTS(RECORDED));
	tool.text = output;
	pthread_create(&reader, NULL, read_output, &tool);
	finish_tool(&tool);
	check(!!strstr(output, " inode "), "got '%s' '%s'", output, tool.errors);
	check(WIFEXITED(tool.status) && !WEXITSTATUS(tool.status), "status 0x%x", tool.status);
	/* The file has no name here, as its inode need not be one of this machine. */
	from = strstr(output, ": dev ");
	check(!!from, "no device in '%s'", output);
	snprintf(place, sizeof(place), "%.*s", from ? (int)strcspn(from + 2, "+") : 0,
		 from ? from + 2 : "");
	expect_line(&tool, "recorded[%d]: killed by SIGKILL: %s+0x%zx: marked, waiter woken\n",
		    pid, place, LOCK_OFFSET + offsetof(struct lock, word));
	unlink(RECORDED);
}

static const struct test {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "trace_tool.not_mounted", test_not_mounted },
	{ "trace_tool.no_rights", test_no_rights },
	{ "trace_tool.usage", test_usage },
	{ "trace_tool.killed", test_killed },
	{ "trace_tool.exited", test_exited },
	{ "trace_tool.exec", test_exec },
	{ "trace_tool.thread", test_thread },
	{ "trace_tool.pending", test_pending },
	{ "trace_tool.broken", test_broken },
	{ "trace_tool.pid", test_pid },
	{ "trace_tool.json", test_json },
	{ "trace_tool.summary", test_summary },
	{ "trace_tool.lost", test_lost },
	{ "trace_tool.visit_limit", test_visit_limit },
	{ "trace_tool.time_limit", test_time_limit },
	{ "trace_tool.recorded", test_recorded },
};

#define TESTS	((int)ARRAY_SIZE(tests))

static void map_lock_file(void)
{
	char *memory;
	int fd;

	fd = open(LOCK_FILE, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, 4096))
		bail_out(LOCK_FILE);
	memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		bail_out("mmap()");
	close(fd);
	file_lock = (struct lock *)(memory + LOCK_OFFSET);
}

int main(void)
{
	struct robust_list_head *head;
	size_t length;
	int status = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 14\n");
	if (access(TRACING, F_OK) ||
	    syscall(SYS_get_robust_list, 0, &head, &length)) {
		printf("1..0 # SKIP the kernel has no tracing, or no robust futexes\n");
		return 0;
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (shared == MAP_FAILED)
		bail_out("mmap()");
	map_lock_file();
	printf("1..%d\n", TESTS);
	for (int i = 0; i < TESTS; i++) {
		failed = 0;
		tests[i].run();
		status |= failed;
		printf("%sok %d %s\n", failed ? "not " : "", i + 1, tests[i].name);
	}
	return status ? 1 : 0;
}
