// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that the kernel does not free after threads have died with robust futexes for a
 * long time: killtree, fuzz and a process that only keeps a CPU busy run together, in several
 * periods. After each of them all processes end, the kernel gets time and requests to free
 * what it does not need, and then free memory is counted, and the objects of every slab cache.
 *
 * A leak grows from the first count to the last. Some caches vary with other work of the
 * kernel, so there are bounds:
 *
 *   soak.killtree	Every run of it passed.
 *   soak.fuzz		Every run of it passed, and one of them had a death.
 *   soak.no_process_left	After each period all processes have ended.
 *   soak.memory	Free memory has shrunk by MEMORY_BOUND at most.
 *   soak.objects	Of each kind of object that belongs to a process there are
 *			OBJECTS_BOUND more at most.
 *   soak.caches	All other objects together take CACHES_BOUND more at most.
 *
 * The kernel should not merge caches, and not keep free objects for each CPU, so that the
 * counts are exact: "slab_nomerge slub_debug=F" on its command line.
 *
 * usage: PROGRAM [SECONDS [SEED [LEAK]]]
 *
 *	SECONDS   all periods together (120)
 *	SEED      for killtree and fuzz (1); the next period has the next one
 *	LEAK      to show that leaks are detected: each period leaves something behind,
 *		  "shm" (segments of shared memory) or "tasks" (processes)
 *
 * The output is KTAP. The exit status is 0 if every test passed, else 1.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include "parts/util.h"

#define PERIODS		6
#define CACHES_MAX	400

/* In KiB. Each CPU keeps some free pages for itself, which are not counted. */
#define MEMORY_BOUND	8192
#define OBJECTS_BOUND	32
#define CACHES_BOUND	1024

/* Seconds: a slow step of killtree, and the time that the jobs may take in addition. */
#define TIME_LIMIT	"60"
#define GRACE		180

#define LEAKED_SEGMENTS	4
#define LEAKED_TASKS	20

enum { KILLTREE, FUZZ, NO_PROCESS_LEFT, MEMORY, OBJECTS, CACHES, TESTS };

static const char *const tests[] = {
	"soak.killtree",
	"soak.fuzz",
	"soak.no_process_left",
	"soak.memory",
	"soak.objects",
	"soak.caches",
};

/* The objects of a process, its memory and its files. */
static const char *const of_processes[] = {
	"task_struct", "mm_struct", "vm_area_struct", "pid", "signal_cache", "sighand_cache",
	"files_cache", "fs_cache", "cred_jar", "anon_vma", "anon_vma_chain", "filp",
	"shmem_inode_cache", "sigqueue", "task_delay_info", "nsproxy", "pid_namespace",
	"userfaultfd_ctx_cache",
};

static const char *const of_memory[] = {
	"MemFree", "AnonPages", "Shmem", "Slab", "SUnreclaim", "KernelStack", "PageTables",
};

struct count {
	long memory[ARRAY_SIZE(of_memory)];	/* KiB */
	struct {
		char name[64];
		long objects, size;
	} caches[CACHES_MAX];
	int cache_count;
};

static struct count counts[PERIODS];
static int failures[TESTS];
static char directory[200];		/* of this program, and of the others */
static unsigned long long seed = 1;
static int leaked_tasks;
static unsigned long long fuzz_deaths;

#define fails(test, ...)						\
do {									\
	failures[test]++;						\
	diag(__VA_ARGS__);						\
} while (0)

/* ---- Counting ---- */

/* Free what is not in use: pages of files, and slabs that are empty. */
static void tidy_up(void)
{
	DIR *slabs = opendir("/sys/kernel/slab");
	struct dirent *entry;
	char path[512];

	sync();
	write_file("/proc/sys/vm/drop_caches", "3");
	while (slabs && (entry = readdir(slabs))) {
		snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink", entry->d_name);
		/* Not every cache can be shrunk. */
		write_file(path, "1");
	}
	if (slabs)
		closedir(slabs);
}

static void count_memory(struct count *count)
{
	FILE *file = fopen("/proc/meminfo", "r");
	char line[200];
	size_t length;

	if (!file)
		bail_out("cannot read /proc/meminfo");
	while (fgets(line, sizeof(line), file)) {
		for (size_t i = 0; i < ARRAY_SIZE(of_memory); i++) {
			length = strlen(of_memory[i]);
			if (!strncmp(line, of_memory[i], length) && line[length] == ':')
				count->memory[i] = atol(line + length + 1);
		}
	}
	fclose(file);
}

static void count_caches(struct count *count)
{
	FILE *file = fopen("/proc/slabinfo", "r");
	char line[400];
	int number;

	if (!file)
		bail_out("cannot read /proc/slabinfo, the kernel needs SLUB_DEBUG");
	while (fgets(line, sizeof(line), file) && count->cache_count < CACHES_MAX) {
		number = count->cache_count;
		if (sscanf(line, "%63s %ld %*d %ld", count->caches[number].name,
			   &count->caches[number].objects, &count->caches[number].size) == 3)
			count->cache_count++;
	}
	fclose(file);
}

/* The number of objects of a cache, or -1. */
static long objects_in(const struct count *count, const char *name)
{
	for (int i = 0; i < count->cache_count; i++)
		if (!strcmp(count->caches[i].name, name))
			return count->caches[i].objects;
	return -1;
}

static int is_of_processes(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(of_processes); i++)
		if (!strcmp(of_processes[i], name))
			return 1;
	return 0;
}

static void take_count(int period)
{
	struct count *count = &counts[period];
	char text[1000];
	int length;

	/* Objects that are freed after a grace period, by workers, or are flushed by a timer */
	sleep_ms(3000);
	tidy_up();
	sleep_ms(2000);
	tidy_up();
	/* So are the files that this has opened. */
	sleep_ms(2000);
	count_memory(count);
	count_caches(count);

	length = snprintf(text, sizeof(text), "count %d:", period + 1);
	for (size_t i = 0; i < ARRAY_SIZE(of_memory); i++)
		length += snprintf(text + length, sizeof(text) - length, " %s %ld",
				   of_memory[i], count->memory[i]);
	for (size_t i = 0; i < ARRAY_SIZE(of_processes); i++)
		if (objects_in(count, of_processes[i]) >= 0)
			length += snprintf(text + length, sizeof(text) - length, " %s %ld",
					   of_processes[i], objects_in(count, of_processes[i]));
	diag("%s", text);
}

static void compare_counts(void)
{
	struct count *first = &counts[0], *last = &counts[PERIODS - 1];
	long growth = first->memory[0] - last->memory[0], before, caches = 0;

	diag("growth of used memory: %ld KiB, bound %d", growth, MEMORY_BOUND);
	if (growth > MEMORY_BOUND)
		fails(MEMORY, "free memory has shrunk by %ld KiB", growth);
	for (int i = 0; i < last->cache_count; i++) {
		before = objects_in(first, last->caches[i].name);
		growth = last->caches[i].objects - (before < 0 ? 0 : before);
		if (is_of_processes(last->caches[i].name)) {
			if (growth > OBJECTS_BOUND)
				fails(OBJECTS, "%ld objects more in %s", growth,
				      last->caches[i].name);
		} else {
			growth *= last->caches[i].size;
			caches += growth;
			if (growth > 65536)
				diag("%s has grown by %ld bytes", last->caches[i].name, growth);
		}
	}
	diag("growth of other caches: %ld KiB, bound %d", caches / 1024, CACHES_BOUND);
	if (caches / 1024 > CACHES_BOUND)
		fails(CACHES, "other objects take %ld KiB more", caches / 1024);
	if (objects_in(last, "task_struct") < 0)
		fails(OBJECTS, "there is no cache task_struct: boot with slab_nomerge");
}

/* ---- Jobs ---- */

struct job {
	const char *name;
	int test;
	pid_t pid;
	int output;
};

static void start_job(struct job *job, const char *const *words)
{
	char path[300];

	job->output = -1;
	if (words) {
		snprintf(path, sizeof(path), "/tmp/soak-%s", job->name);
		job->output = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (job->output < 0)
			bail_out("cannot create a file");
		/* The descriptor is all that is needed. */
		unlink(path);
	}
	fflush(stdout);
	job->pid = fork();
	if (job->pid < 0)
		bail_out("cannot start a process");
	if (job->pid)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!words)
		for (;;)
			;
	dup2(job->output, STDOUT_FILENO);
	dup2(job->output, STDERR_FILENO);
	snprintf(path, sizeof(path), "%s/%s", directory, job->name);
	execv(path, (char **)words);
	dprintf(STDERR_FILENO, "cannot run %s: %s\n", path, strerror(errno));
	_exit(127);
}

/* The last lines of its output, with a prefix. */
static void show_output(const struct job *job)
{
	char text[4096], *line, *rest = text;
	off_t end = lseek(job->output, 0, SEEK_END);
	off_t start = end > (off_t)sizeof(text) - 1 ? end - (off_t)sizeof(text) + 1 : 0;
	unsigned long long deaths;
	ssize_t length = pread(job->output, text, sizeof(text) - 1, start);

	text[length > 0 ? length : 0] = 0;
	while ((line = strsep(&rest, "\n"))) {
		if (!*line)
			continue;
		diag("%s: %s", job->name, line);
		if (strstr(line, " deaths in ") && sscanf(line, "# %llu", &deaths) == 1)
			fuzz_deaths += deaths;
	}
	close(job->output);
}

static void end_job(struct job *job, long long end)
{
	int status;

	while (waitpid(job->pid, &status, WNOHANG) != job->pid) {
		if (now_ms() > end) {
			fails(job->test, "%s does not come to its end", job->name);
			kill(job->pid, SIGKILL);
			waitpid(job->pid, &status, 0);
			break;
		}
		sleep_ms(50);
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		fails(job->test, "%s failed, with wait status %#x", job->name, status);
	show_output(job);
}

static void expect_no_process(int period)
{
	long long end = now_ms() + 20000;

	/* Those that are left on purpose must appear in the counts. */
	if (leaked_tasks)
		return;
	while (waitpid(-1, NULL, WNOHANG) >= 0) {
		if (now_ms() > end) {
			fails(NO_PROCESS_LEFT, "a process is left after period %d", period + 1);
			return;
		}
		sleep_ms(20);
	}
}

static void leak(const char *what)
{
	char *memory;
	int segment;

	if (!strcmp(what, "shm")) {
		for (int i = 0; i < LEAKED_SEGMENTS; i++) {
			segment = shmget(IPC_PRIVATE, 1 << 20, IPC_CREAT | 0600);
			memory = segment < 0 ? (void *)-1 : shmat(segment, NULL, 0);
			if (memory == (void *)-1)
				bail_out("cannot leak shared memory");
			memset(memory, 1, 1 << 20);
			shmdt(memory);
		}
	} else {
		for (int i = 0; i < LEAKED_TASKS; i++) {
			pid_t pid = fork();

			if (pid < 0)
				bail_out("cannot leak a process");
			leaked_tasks++;
			if (!pid) {
				prctl(PR_SET_PDEATHSIG, SIGKILL);
				for (;;)
					pause();
			}
		}
	}
}

static void run_period(int period, int length)
{
	long long end = now_ms() + (length + GRACE) * 1000LL;
	struct job killtree = { .name = "killtree", .test = KILLTREE };
	struct job fuzz = { .name = "fuzz", .test = FUZZ };
	struct job hog = { .name = "hog" };
	char seconds[16], half[16], number[32];

	snprintf(seconds, sizeof(seconds), "%d", length);
	snprintf(half, sizeof(half), "%d", length / 2 ? length / 2 : 1);
	snprintf(number, sizeof(number), "%llu", seed + period);
	start_job(&hog, NULL);
	start_job(&killtree,
		  (const char *const []){ "killtree", seconds, number, TIME_LIMIT, NULL });
	/* Each kind of deaths has half of the time. */
	start_job(&fuzz, (const char *const []){ "fuzz", "--lists", "1000000000", "--fire",
		  "1000000000", "--seconds", half, "--seed", number, NULL });
	end_job(&killtree, end);
	end_job(&fuzz, end);
	kill(hog.pid, SIGKILL);
	waitpid(hog.pid, NULL, 0);
}

int main(int argc, char **argv)
{
	int seconds = argc > 1 ? atoi(argv[1]) : 120, failed = 0;
	const char *what = argc > 3 ? argv[3] : "";
	char *slash;

	if (argc > 2)
		seed = strtoull(argv[2], NULL, 0);
	if (argc > 4 || seconds < 2 * PERIODS ||
	    (*what && strcmp(what, "shm") && strcmp(what, "tasks"))) {
		fprintf(stderr,
			"usage: %s [SECONDS [SEED [LEAK]]], at least %d seconds, LEAK is shm or tasks\n",
			argv[0], 2 * PERIODS);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (readlink("/proc/self/exe", directory, sizeof(directory) - 1) < 0)
		bail_out("cannot find the directory of this program");
	slash = strrchr(directory, '/');
	*slash = 0;
	/* Orphans become children of this process, which reaps them. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);

	printf("TAP version 14\n1..%d\n", TESTS);
	diag("%d periods of %d seconds, seed %llu%s%s", PERIODS, seconds / PERIODS, seed,
	     *what ? ", leaks on purpose: " : "", what);
	for (int i = 0; i < PERIODS; i++) {
		run_period(i, seconds / PERIODS);
		expect_no_process(i);
		if (*what)
			leak(what);
		take_count(i);
	}
	compare_counts();
	if (!fuzz_deaths)
		fails(FUZZ, "no death in fuzz: it had no time, or prints it in other words");
	for (int i = 0; i < TESTS; i++) {
		failed |= failures[i];
		printf("%sok %d %s\n", failures[i] ? "not " : "", i + 1, tests[i]);
	}
	return failed ? 1 : 0;
}
