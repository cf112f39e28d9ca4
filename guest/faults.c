// SPDX-License-Identifier: GPL-2.0
/*
 * Threads die with thousands of locks while failures are injected: in the lookup of a
 * futex (fail_futex), the allocation of an object (failslab) or of a page (fail_page_alloc).
 * Only operations of the dying thread fail, and only after its death has begun.
 *
 * The promises depend on what fails:
 *
 *  - In any case the exit ends. A word is marked as that of a dead owner, or is unchanged;
 *    nothing else is written. PI futexes go to their waiters.
 *  - To mark a word nothing is looked up and, if its page is present, nothing is
 *    allocated. So all words that the thread itself could write are marked.
 *  - To wake a waiter the futex has to be looked up. A lookup that fails loses the
 *    wakeup of one word, and of no other. So at most as many waiters are not woken as
 *    failures were injected. If all lookups fail, none is woken: their words are marked,
 *    which the next thread that takes the lock detects.
 *  - A page that is not present has to be found or allocated. If that fails the lock is
 *    lost and, if its link could not be read, so are all locks that come later in the
 *    list, but none that comes before it. It makes no difference whether the thread was
 *    killed or exits.
 *
 * The tests:
 *
 *   faults.none		Nothing fails: all words are marked, all waiters
 *			woken.
 *   faults.some_lookups	One lookup in three fails, with ignore-private and
 *			without, which are the same: the walk's are all shared.
 *   faults.all_lookups	All of them fail.
 *   faults.one_failure	Exactly one operation fails: the first one, in the next
 *			exit the second, and so on, as long as there is another
 *			one.
 *   faults.objects	No object can be allocated.
 *   faults.pages		No page can be allocated, but all pages of the locks are
 *			present.
 *   faults.everything	One operation in three fails.
 *   faults.absent_pages	The locks are in shared memory that the thread has never
 *			touched: each part needs a page table, and half of the
 *			allocations fail.
 *   faults.no_pages	As before, but all of them fail.
 *
 * usage: PROGRAM
 *
 * The output is KTAP. The exit status is 0 if every test passed, else 1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "parts/locks.h"
#include "parts/util.h"

#define DEBUGFS		"/sys/kernel/debug"
/* More than are ever injected: the rest gives their number. */
#define MANY		1000000000
/* Two of this many locks have a waiter: a debug kernel starts threads slowly. */
#define WAITING		96
/* Seconds that a death may take, in a slow guest. */
#define TIME_LIMIT	60

enum attribute { LOOKUPS, OBJECTS, PAGES, ATTRIBUTES };

static struct {
	const char *name;
	const char *files[4];	/* that are set to 0: all allocations may fail */
	int times;
	long long injected;
} attributes[ATTRIBUTES] = {
	[LOOKUPS] = { .name = "fail_futex", .files = { "verbose" } },
	[OBJECTS] = { .name = "failslab", .files = { "verbose", "ignore-gfp-wait" } },
	[PAGES]	  = {
		.name = "fail_page_alloc",
		.files = { "verbose", "ignore-gfp-wait", "ignore-gfp-highmem", "min-order" },
	},
};

enum death { THREAD_EXITS, PROCESS_EXITS, PROCESS_IS_KILLED, DEATHS };

static const char *const death_names[] = {
	"a thread exits", "a process exits", "a process is killed",
};

/* Shared by the thread that is to die and the one that watches it. */
static struct control {
	volatile pid_t tid;		/* it has registered its list */
	volatile int go;		/* it may enable failures for itself, and die */
	volatile int exposed;		/* it may be killed, if it is to be */
	struct robust_list_head head;
} *control;

/* One death. */
struct run {
	enum death death;
	int touched;			/* it has written all words itself */
	int nth;			/* only this operation fails, or 0 */
	long long injected;		/* the number of injected failures, */
	long long lookups;		/* and in lookups alone */
	struct outcome outcome;
};

static int failed;			/* the test that runs has failed */

#define check(run, condition)						\
do {									\
	if (!(condition))						\
		complain(run, #condition);				\
} while (0)

static void complain(const struct run *run, const char *condition)
{
	const struct outcome *outcome = &run->outcome;

	if (failed++ >= 5)
		return;
	diag("not true: %s", condition);
	diag("%s, %lld failures, %lld of them lookups", death_names[run->death],
	     run->injected, run->lookups);
	diag("%d words marked, %d not, %d wrong, pending %s, %d PI", outcome->marked,
	     outcome->unmarked, outcome->wrong,
	     outcome->pending_marked ? "marked" : "not", outcome->pi);
	diag("first not marked %d, last marked %d, %d of %d waiters not woken",
	     outcome->first_unmarked, outcome->last_marked, outcome->not_woken,
	     outcome->waiters);
}

/* ---- The failures ---- */

static int open_attribute(enum attribute which, const char *file, int flags)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUGFS "/%s/%s", attributes[which].name, file);
	return open(path, flags | O_CLOEXEC);
}

static void set(enum attribute which, const char *file, long value)
{
	int fd = open_attribute(which, file, O_WRONLY);
	char text[32];
	int length = snprintf(text, sizeof(text), "%ld", value);

	if (fd < 0 || write(fd, text, length) != length)
		bail_out_all(attributes[which].name);
	close(fd);
}

static long get(enum attribute which, const char *file)
{
	int fd = open_attribute(which, file, O_RDONLY);
	char text[32] = "";

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		bail_out_all(attributes[which].name);
	close(fd);
	return atol(text);
}

static int prepare_failures(void)
{
	/* It may be mounted already. */
	mount("debugfs", DEBUGFS, "debugfs", 0, NULL);
	for (int i = 0; i < ATTRIBUTES; i++) {
		int fd = open_attribute(i, "probability", O_WRONLY);

		if (fd < 0)
			return 0;
		close(fd);
		set(i, "probability", 0);
		set(i, "task-filter", 1);
		for (int j = 0; j < 4 && attributes[i].files[j]; j++)
			set(i, attributes[i].files[j], 0);
	}
	return 1;
}

static void arm(enum attribute which, int probability, int times)
{
	attributes[which].times = times;
	set(which, "times", times);
	set(which, "probability", probability);
}

/* How many failures there were since it was armed. */
static long long disarm(enum attribute which)
{
	long long injected = attributes[which].times - get(which, "times");

	set(which, "probability", 0);
	attributes[which].injected += injected;
	return injected;
}

static void write_own(const char *file, int value)
{
	char path[64], text[16];
	int length = snprintf(text, sizeof(text), "%d", value), fd;

	snprintf(path, sizeof(path), "/proc/thread-self/%s", file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	/* After this write, failures may be injected into the error path as well. */
	if (fd < 0 || write(fd, text, length) != length)
		_exit(1);
}

/* ---- The deaths ---- */

static void *die(void *argument)
{
	struct run *run = argument;

	if (run->touched)
		take_all(&control->head, own_tid());
	register_list(&control->head);
	control->tid = own_tid();
	while (!control->go)
		sleep_ms(1);

	write_own(run->nth ? "fail-nth" : "make-it-fail", run->nth ? run->nth : 1);
	if (run->death == THREAD_EXITS)
		syscall(SYS_exit, 0);
	if (run->death == PROCESS_EXITS)
		syscall(SYS_exit_group, 0);
	control->exposed = 1;
	for (;;)
		pause();
	return NULL;
}

/* Not by functions of the C library: their wakeup would fail. */
static int is_dead(const struct run *run, pid_t pid, pid_t tid)
{
	siginfo_t info = { .si_pid = 0 };

	if (run->death == THREAD_EXITS)
		return syscall(SYS_tgkill, getpid(), tid, 0) && errno == ESRCH;
	return !waitid(P_PID, pid, &info, WEXITED | WNOHANG) && info.si_pid;
}

static void wait_for_death(const struct run *run, pid_t pid, pid_t tid)
{
	long long end = now_ms() + TIME_LIMIT * 1000;

	while (!is_dead(run, pid, tid)) {
		if (now_ms() > end) {
			errno = ETIME;
			bail_out_all("the exit of a thread does not end");
		}
		sleep_ms(1);
	}
}

/* The failures are armed by then. */
static void run_death(struct run *run)
{
	pthread_t thread;
	pid_t pid = 0, tid;

	memset(control, 0, sizeof(*control));
	if (run->death == THREAD_EXITS) {
		errno = pthread_create(&thread, NULL, die, run);
		if (errno)
			bail_out_all("cannot start a thread");
	} else {
		pid = fork();
		if (pid < 0)
			bail_out_all("cannot start a process");
		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			die(run);
		}
	}
	while (!control->tid)
		sleep_ms(1);
	tid = control->tid;
	if (!run->touched)
		take_all(&control->head, tid);
	start_waiters();

	control->go = 1;
	if (run->death == PROCESS_IS_KILLED) {
		while (!control->exposed)
			sleep_ms(1);
		kill(pid, SIGKILL);
	}
	wait_for_death(run, pid, tid);

	run->injected = 0;
	for (int i = 0; i < ATTRIBUTES; i++) {
		long long injected = disarm(i);

		run->injected += injected;
		if (i == LOOKUPS)
			run->lookups = injected;
	}
	judge_area(tid, &run->outcome);
	if (run->death == THREAD_EXITS)
		pthread_join(thread, NULL);
	check(run, !run->outcome.wrong);
}

static void disarm_all(void)
{
	for (int i = 0; i < ATTRIBUTES; i++)
		arm(i, 0, MANY);
}

/* So many locks, in memory of a kind for the death. Of so many two have a waiter. */
static void prepare_run(struct run *run, enum death death, int locks, int parts, int waiting)
{
	make_area(death == THREAD_EXITS ? MAP_PRIVATE : MAP_SHARED, locks, parts, waiting);
	memset(run, 0, sizeof(*run));
	run->death = death;
	run->touched = 1;
	disarm_all();
}

static void finish_run(void)
{
	free_area();
}

static int all_marked(const struct run *run)
{
	return run->outcome.marked && !run->outcome.unmarked && run->outcome.pending_marked;
}

/* Each kind of death, with these probabilities of failures. */
static void die_of_all(int lookups, int objects, int pages, void (*judge)(struct run *))
{
	struct run run;

	for (int death = 0; death < DEATHS; death++) {
		prepare_run(&run, death, LOCKS_MAX, 1, WAITING);
		arm(LOOKUPS, lookups, MANY);
		arm(OBJECTS, objects, MANY);
		arm(PAGES, pages, MANY);
		run_death(&run);
		check(&run, all_marked(&run));
		judge(&run);
		finish_run();
	}
}

/* ---- The tests ---- */

static void expect_all_woken(struct run *run)
{
	check(run, !run->lookups);
	check(run, run->outcome.waiters && !run->outcome.not_woken);
}

static void expect_some_woken(struct run *run)
{
	check(run, run->lookups);
	check(run, run->outcome.not_woken <= run->lookups);
	check(run, run->outcome.not_woken < run->outcome.waiters);
}

static void expect_none_woken(struct run *run)
{
	check(run, run->outcome.waiters);
	check(run, run->outcome.not_woken == run->outcome.waiters);
}

static void test_none(void)
{
	die_of_all(0, 0, 0, expect_all_woken);
}

static void test_some_lookups(void)
{
	for (int ignore = 0; ignore < 2; ignore++) {
		set(LOOKUPS, "ignore-private", ignore);
		die_of_all(33, 0, 0, expect_some_woken);
	}
	set(LOOKUPS, "ignore-private", 0);
}

static void test_all_lookups(void)
{
	for (int ignore = 0; ignore < 2; ignore++) {
		set(LOOKUPS, "ignore-private", ignore);
		die_of_all(100, 0, 0, expect_none_woken);
	}
	set(LOOKUPS, "ignore-private", 0);
}

static void test_objects(void)
{
	die_of_all(0, 100, 0, expect_all_woken);
}

static void test_pages(void)
{
	die_of_all(0, 0, 100, expect_all_woken);
}

static void test_everything(void)
{
	die_of_all(33, 33, 33, expect_some_woken);
}

/* A list of three pages, with waiters in each of them. */
static void test_one_failure(void)
{
	struct run run;
	int nth, tried = 0;

	for (int death = 0; death < DEATHS; death++) {
		for (nth = 1; nth < 1000; nth++) {
			prepare_run(&run, death, 3 * 4096 / STEP, 1, 24);
			run.nth = nth;
			run_death(&run);
			check(&run, all_marked(&run));
			check(&run, run.injected <= 1);
			check(&run, run.outcome.not_woken <= run.lookups);
			finish_run();
			if (!run.injected)
				break;
		}
		tried += nth - 1;
		/* Three pages and the pending lock are looked up. */
		check(&run, nth > 4);
	}
	diag("%d operations could fail", tried);
}

static void run_absent(struct run *run, enum death death, int probability)
{
	prepare_run(run, death, LOCKS_MAX, PARTS, WAITING);
	run->touched = 0;
	arm(PAGES, probability, MANY);
	run_death(run);
	/* If a word is marked, its waiter is woken. */
	check(run, !run->outcome.not_woken);
	/* Locks that are lost come after those that are not. */
	check(run, run->outcome.last_marked < run->outcome.first_unmarked);
	finish_run();
}

static void test_absent_pages(void)
{
	long long injected = 0, marked = 0, unmarked = 0;
	struct run run;

	for (int i = 0; i < 12; i++) {
		run_absent(&run, i % 2 ? PROCESS_EXITS : PROCESS_IS_KILLED, i % 3 ? 30 : 0);
		injected += run.injected;
		marked += run.outcome.marked;
		unmarked += run.outcome.unmarked;
		check(&run, run.injected || all_marked(&run));
	}
	/* Otherwise nothing was tested. */
	check(&run, injected && marked && unmarked);
	diag("%lld failures, %lld words marked, %lld lost", injected, marked, unmarked);
}

static void test_no_pages(void)
{
	struct run run;

	for (int death = PROCESS_EXITS; death < DEATHS; death++) {
		run_absent(&run, death, 100);
		check(&run, run.injected);
		check(&run, !run.outcome.marked);
	}
}

static const struct test {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "faults.none", test_none },
	{ "faults.some_lookups", test_some_lookups },
	{ "faults.all_lookups", test_all_lookups },
	{ "faults.one_failure", test_one_failure },
	{ "faults.objects", test_objects },
	{ "faults.pages", test_pages },
	{ "faults.everything", test_everything },
	{ "faults.absent_pages", test_absent_pages },
	{ "faults.no_pages", test_no_pages },
};

#define TESTS	((int)ARRAY_SIZE(tests))

int main(void)
{
	struct robust_list_head *head;
	size_t length;
	int status = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("TAP version 14\n");
	if (!prepare_failures()) {
		printf("1..0 # SKIP the kernel has no fault injection\n");
		return 0;
	}
	if (syscall(SYS_get_robust_list, 0, &head, &length)) {
		printf("1..0 # SKIP the kernel has no robust futexes\n");
		return 0;
	}
	control = map_memory(sizeof(*control), MAP_SHARED);
	printf("1..%d\n", TESTS);
	for (int i = 0; i < TESTS; i++) {
		long long began = now_ms();

		failed = 0;
		tests[i].run();
		status |= failed;
		diag("%lld ms", now_ms() - began);
		printf("%sok %d %s\n", failed ? "not " : "", i + 1, tests[i].name);
	}
	for (int i = 0; i < ATTRIBUTES; i++)
		diag("%s: %lld failures injected", attributes[i].name, attributes[i].injected);
	return status ? 1 : 0;
}
