// SPDX-License-Identifier: GPL-2.0
/*
 * Random lists of robust futexes, compared with the promises.
 *
 * A seed determines a piece of memory, one or more lists in it, valid or broken, waiters on
 * some of their words, pages that are taken away, and a way to die. Before the victim dies
 * like that, its memory is copied. From this copy, which no kernel has changed, the program
 * computes what the memory must contain afterwards, to the last byte, and how many waiters
 * of each word must have been woken:
 *
 *  - An entry is the target of a pointer. Bit 0 of the pointer is set if the lock is a PI
 *    futex. Its word is futex_offset bytes behind the entry, modulo the size of addresses.
 *  - A word with the TID of the dying thread keeps FUTEX_WAITERS, gets FUTEX_OWNER_DIED and
 *    loses the rest, if it is aligned and may be written. One waiter is woken if
 *    FUTEX_WAITERS was set, none of a PI futex. Nothing else in memory changes.
 *  - The walk continues as long as the next pointer can be read, to the list's head or
 *    until ROBUST_LIST_LIMIT entries were not to be marked.
 *  - The pending lock is handled last. On the list it is skipped, and counts among the
 *    entries that are not to be marked. If its word can be read and has another TID or none,
 *    one waiter is woken, except if an owner has FUTEX_WAITERS and so will wake it, or if it
 *    is a PI futex.
 *  - NULL is no lock.
 *  - If a thread has a native and a compat list, the native one is walked first.
 *
 * This is the test fuzz.lists. In fuzz.under_fire other threads and another process rewrite
 * pointers, words and mappings while the victim dies. Then the list is not predictable, but
 * the exit ends, words that never hold the TID of the victim do not change, and any other
 * word has a value that the test wrote, or that of a marked lock. If no word was written
 * during a walk, in some hundred deaths more than requested, the test is skipped: with one CPU
 * that is likely.
 *
 * Why it is fast: The creator of the victim waits in clone() with CLONE_VFORK until the walk
 * is over. Waiters are not started for each list, but sleep at a gate, and are requeued
 * from there to a word and back. The requeue returns the number of waiters that it moved,
 * and so how many still slept, without a time limit.
 *
 * Death number n of seed s is death number 0 of seed s + n. So a failure can be reproduced
 * separately. The program prints the command for it.
 *
 * A link that is not aligned like a pointer can be read, or not: that depends on the
 * architecture, and the arguments of execve(), which the kernel reads in the same way, show it.
 *
 * The output is KTAP. The exit status is 0 if every test passed, else 1.
 */
#define _GNU_SOURCE
#include "fuzz.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAILURES_MAX	10

/* So many deaths more, until a word is written during a walk */
#define MORE_FIRE	400

/* With --short: time for a slow machine, and not for one that hangs */
#define SHORT_LISTS	300
#define SHORT_FIRE	40
#define SHORT_SECONDS	240
#define SHORT_LIMIT	200

#define PROGRESS	10

enum test { LISTS, UNDER_FIRE, TESTS };

/* scripts/list-tests finds the names here. */
static const char * const test_names[TESTS] = {
	"fuzz.lists",
	"fuzz.under_fire",
};

/* Set by the options */
static unsigned long long first_seed = 1;
static unsigned long long wanted[TESTS] = { 1000, 100 };
static unsigned long long seconds_wanted;
unsigned long long limit = 60;
bool verbose;

/* The test that this process runs */
static enum test test;

/* So many deaths are not all without a lock that is marked, or a waiter that is woken. */
static const unsigned long long enough[TESTS] = { 50, 10 };

__u32 page_size;
bool has_compat;
bool misaligned_links;
struct job *job;
struct totals totals;

void fatal(const char *why)
{
	diag("%s", why);
	exit(1);
}

/* The command that repeats the death of a seed */
static void print_replay(unsigned long long seed)
{
	diag("replay: make fuzz SEED=%llu LISTS=%d FIRE=%d", seed, test == LISTS,
	     test == UNDER_FIRE);
}

static void report(double time, unsigned long long done)
{
	int i;

	diag("%llu deaths in %.1f s, the longest took %.3f s", done, time, totals.longest);
	diag("%llu lists, of which %llu 32-bit, of %llu locks", totals.lists,
	     totals.compat, totals.locks);
	if (test == LISTS) {
		diag("%llu words marked, %llu entries not, %llu pending locks",
		     totals.marked, totals.missed, totals.pending);
		diag("%llu lists ended by the limit, %llu by a pointer",
		     totals.ended_by_limit, totals.ended_by_pointer);
		diag("%llu waiters, of which %llu woken; %llu pages in trouble",
		     totals.waiters, totals.woken, totals.troubles);
	} else {
		diag("%llu strikes of the attackers, %llu words found marked",
		     totals.attacks, totals.marked);
		diag("%llu words were written during a walk and marked by it", job->during);
	}
	for (i = 0; i < DEATHS; i++)
		if (totals.deaths[i])
			diag("death: %s: %llu", death_names[i], totals.deaths[i]);
	for (i = 0; i < KINDS; i++)
		if (test == LISTS || totals.kinds[i])
			diag("memory: %s: %llu%s", memories[i].name, totals.kinds[i],
			     memories[i].usable ? "" : ", not to be had here");
}

/* A failure if the walks of many deaths did not mark a single word. */
static bool nothing_tested(unsigned long long done)
{
	if (done < enough[test])
		return false;
	return !totals.marked || !(test == LISTS ? totals.woken : totals.attacks);
}

/* One death, as in a replay, may be without. Among several some have to be hit. */
static bool missed_all(unsigned long long done)
{
	return test == UNDER_FIRE && done >= enough[test] && !job->during;
}

static bool go_on(unsigned long long done)
{
	return done < wanted[test] || (missed_all(done) && done < wanted[test] + MORE_FIRE);
}

static void work(void)
{
	double began = now_seconds(), reported = began;
	unsigned long long done;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	create_memories();
	if (test == LISTS)
		start_pool();
	else if (!start_attackers())
		fatal("cannot start the attackers: raise ulimit -u");

	for (done = 0; go_on(done) && job->failures < FAILURES_MAX; done++) {
		if (seconds_wanted && now_seconds() - began >= seconds_wanted)
			break;
		if (now_seconds() - reported >= PROGRESS) {
			reported = now_seconds();
			diag("%s: %llu of %llu deaths after %.0f s, %llu wrong",
			     test_names[test], done, wanted[test], reported - began,
			     job->failures);
		}
		scene.seed = first_seed + done;
		job->seed = scene.seed;
		if (!(test == LISTS ? fuzz_one() : fire_one())) {
			job->failures++;
			print_replay(scene.seed);
		}
		job->done++;
	}
	report(now_seconds() - began, done);
	if (nothing_tested(done)) {
		diag("no lock was marked, or no waiter woken or attacked: nothing was tested");
		job->failures++;
	}
	fflush(stdout);
	_exit(0);
}

/* The worker cannot check its own time limit: it sleeps until its victim is dead. */
static bool watch(pid_t worker)
{
	unsigned long long done = 0;
	double changed = now_seconds();
	bool right = true;
	int status = 0;

	while (right && waitpid(worker, &status, WNOHANG) != worker) {
		if (job->done != done) {
			done = job->done;
			changed = now_seconds();
		}
		if (now_seconds() - changed > limit) {
			diag("seed %llu: not over after %llu s", job->seed, limit);
			right = false;
		}
		sleep_ms(20);
	}
	kill(-worker, SIGKILL);
	if (status) {
		diag("seed %llu: the worker ended with status %#x", job->seed, status);
		right = false;
	}
	if (!right)
		print_replay(job->seed);
	return right && !job->failures;
}

/* One test, in a separate process: it may hang, and memory is mapped anew. */
static bool run_test(void)
{
	pid_t worker;
	bool right;

	memset(job, 0, sizeof(*job));
	diag("%s: %llu deaths from seed %llu%s", test_names[test], wanted[test],
	     first_seed, has_compat ? "" : ", no 32-bit lists here");
	if (!misaligned_links)
		diag("%s: a misaligned link cannot be read here", test_names[test]);
	worker = fork();
	if (!worker) {
		setpgid(0, 0);
		work();
	}
	setpgid(worker, worker);
	right = worker > 0 && watch(worker);
	diag("%s: %llu deaths, %llu wrong", test_names[test], job->done, job->failures);
	return right;
}

/* Huge pages for one arena. Without root there are none, which is not an error. */
static long set_huge_pages(long count)
{
	FILE *file = fopen("/proc/sys/vm/nr_hugepages", "r+");
	long old = -1;

	if (!file)
		return -1;
	if (fscanf(file, "%ld", &old) == 1 && count >= 0) {
		rewind(file);
		fprintf(file, "%ld\n", count);
	}
	fclose(file);
	return old;
}

static void print_usage(FILE *to, const char *program)
{
	fprintf(to,
		"usage: %s [OPTION...]\n"
		"  --lists N     so many deaths with random lists (1000)\n"
		"  --fire N      so many with lists that others rewrite (100)\n"
		"  --seed N      of the first death of each kind (1)\n"
		"  --seconds N   stop each kind after so many seconds\n"
		"  --limit N     seconds that one death may take (60)\n"
		"  --short       --lists %d --fire %d --seconds %d --limit %d, and another\n"
		"                seed each time\n"
		"  --verbose     describe every list\n", program,
		SHORT_LISTS, SHORT_FIRE, SHORT_SECONDS, SHORT_LIMIT);
}

static unsigned long long to_number(const char *text)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 0);

	if (*end || *text < '0' || *text > '9') {
		fprintf(stderr, "fuzz: '%s' is no number: see --help\n", text);
		exit(2);
	}
	return value;
}

/* The seed is the time since the boot in microseconds: not every guest knows the date. */
static void be_short(void)
{
	wanted[LISTS] = SHORT_LISTS;
	wanted[UNDER_FIRE] = SHORT_FIRE;
	seconds_wanted = SHORT_SECONDS;
	limit = SHORT_LIMIT;
	first_seed = now_seconds() * 1e6;
}

static void read_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "lists", required_argument, NULL, 'l' },
		{ "fire", required_argument, NULL, 'f' },
		{ "seed", required_argument, NULL, 's' },
		{ "seconds", required_argument, NULL, 't' },
		{ "limit", required_argument, NULL, 'm' },
		{ "short", no_argument, NULL, 'b' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'l':
			wanted[LISTS] = to_number(optarg);
			break;
		case 'f':
			wanted[UNDER_FIRE] = to_number(optarg);
			break;
		case 's':
			first_seed = to_number(optarg);
			break;
		case 't':
			seconds_wanted = to_number(optarg);
			break;
		case 'm':
			limit = to_number(optarg);
			break;
		case 'b':
			be_short();
			break;
		case 'v':
			verbose = true;
			break;
		case 'h':
			print_usage(stdout, argv[0]);
			exit(0);
		default:
			print_usage(stderr, argv[0]);
			exit(2);
		}
	}
}

/* Whether this program can register a 32-bit list: the attempt may be fatal. */
static bool probe_compat(void)
{
	int status = -1;
	pid_t pid;

	if (sizeof(long) == 4)
		return true;
	pid = fork();
	if (!pid)
#ifdef HAVE_MACHINE_COMPAT_CALL
		_exit(set_compat_list(0) != 0);
#else
		_exit(1);
#endif
	return waitpid(pid, &status, 0) == pid && !status;
}

/* A directory cannot be executed, but its arguments are read before that is found. */
static bool probe_misaligned(void)
{
	char *const arguments[] = { "/", NULL };
	char place[64] __aligned(16);
	void *misaligned = place + 2;

	memcpy(misaligned, arguments, sizeof(arguments));
	return syscall(SYS_execve, "/", misaligned, NULL) && errno != EFAULT;
}

/* Why the test shows nothing, or NULL */
static const char *skipped(bool supported)
{
	if (!supported)
		return "the kernel has no robust futexes";
	if (!wanted[test])
		return "none asked for";
	if (missed_all(job->done))
		return "no word was written during a walk";
	return NULL;
}

int main(int argc, char **argv)
{
	struct rlimit no_core = { 0, 0 };
	bool supported, failed = false;
	const char *why;
	long huge_pages;

	if (argc > 1 && !strcmp(argv[1], "--after-exec"))
		_exit(AFTER_EXEC);
	setvbuf(stdout, NULL, _IOLBF, 0);
	read_options(argc, argv);

	page_size = sysconf(_SC_PAGESIZE);
	setrlimit(RLIMIT_CORE, &no_core);
	has_compat = probe_compat();
	misaligned_links = probe_misaligned();
	job = mmap(NULL, sizeof(*job), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	before = malloc(ARENA_SIZE);
	image = aligned_alloc(64, ARENA_SIZE);
	page_trouble[LOW] = calloc(ARENA_SIZE / page_size, 1);
	page_trouble[HIGH] = calloc(ARENA_SIZE / page_size, 1);
	if (job == MAP_FAILED || !before || !image ||
	    !page_trouble[LOW] || !page_trouble[HIGH])
		fatal("not enough memory");
	supported = !syscall(SYS_set_robust_list, NULL, 3 * sizeof(long));

	huge_pages = set_huge_pages(ARENA_SIZE / HUGE_PAGE);
	printf("TAP version 14\n1..%d\n", TESTS);
	for (test = 0; test < TESTS; test++) {
		bool right = !supported || !wanted[test] || run_test();

		why = right ? skipped(supported) : NULL;
		printf("%sok %d %s%s%s\n", right ? "" : "not ", test + 1,
		       test_names[test], why ? " # SKIP " : "", why ? why : "");
		failed |= !right;
	}
	set_huge_pages(huge_pages);
	return failed;
}
