// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel's tools/futex/librobust-unlock.so, in a program that is linked dynamically
 * with glibc. This program starts itself again with the library preloaded, as other programs
 * are, and locks and unlocks robust mutexes there.
 *
 *   preload.active		the library says that it is active, by the vDSO
 *   preload.unlock		mutexes of all kinds are free after it, what is refused is
 *				refused as by glibc, and the list is what it was
 *   preload.waiter		a process that waits for the mutex gets it
 *   preload.passed_on		a mutex that is not consistent becomes unusable, as with glibc
 *   preload.step		a thread that is stopped after each instruction of an unlock
 *				never has a free mutex pending
 *   preload.step_without	without the library it has
 *
 * usage: preload
 *
 * The output is KTAP. The exit status is 0 if no test failed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "parts/stepping.h"
#include "parts/util.h"
#include "parts/vdso.h"

#define LIBRARY "librobust-unlock.so"
#define ACTIVE "robust-unlock: active, by the vDSO and the call\n"
#define STEPS_MAX 100000

/* The exit status of a part that runs in a process of its own */
enum { GOOD, BAD, MIDDLE_SEEN };

struct area {
	pthread_mutex_t mutex;
	volatile int begun, done, result;
	/* The victim's list_op_pending, in memory that only the victim has */
	unsigned long *pending;
};

static struct area *area;

static unsigned long *head_of_list(void)
{
	unsigned long *head = NULL;
	size_t length;

	if (syscall(SYS_get_robust_list, 0L, &head, &length))
		return NULL;
	return head;
}

static void make_mutex(int type)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_settype(&attributes, type);
	if (pthread_mutex_init(&area->mutex, &attributes))
		bail_out("no robust mutex");
	pthread_mutexattr_destroy(&attributes);
}

static volatile unsigned int *word(void)
{
	return (volatile unsigned int *)&area->mutex;
}

/* The parts, each in a process that was started for it alone */

static bool unlocks(int type)
{
	unsigned long *head = head_of_list();
	pthread_mutex_t *mutex = &area->mutex;
	bool good = true;

	make_mutex(type);
	for (int round = 0; round < 3; round++) {
		good &= !pthread_mutex_lock(mutex) && *word();
		if (type == PTHREAD_MUTEX_RECURSIVE) {
			good &= !pthread_mutex_lock(mutex) && !pthread_mutex_unlock(mutex);
			good &= *word() != 0;
		}
		good &= head[0] != (unsigned long)head;
		good &= !pthread_mutex_unlock(mutex) && !*word();
		good &= head[0] == (unsigned long)head && !head[2];
		good &= pthread_mutex_unlock(mutex) == EPERM;
	}
	return good && !pthread_mutex_destroy(mutex);
}

static int part_unlock(void)
{
	bool good = unlocks(PTHREAD_MUTEX_NORMAL) && unlocks(PTHREAD_MUTEX_RECURSIVE) &&
		    unlocks(PTHREAD_MUTEX_ERRORCHECK);
	pid_t pid;
	int status;

	/* A child has another TID. */
	pid = fork();
	if (!pid)
		_exit(!unlocks(PTHREAD_MUTEX_NORMAL));
	return good && waitpid(pid, &status, 0) == pid && !status ? GOOD : BAD;
}

static int part_waiter(void)
{
	pid_t pid;
	int status;

	make_mutex(PTHREAD_MUTEX_NORMAL);
	pthread_mutex_lock(&area->mutex);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* A waiter that is forgotten ends by this, and not with status 0. */
		alarm(20);
		area->result = pthread_mutex_lock(&area->mutex);
		_exit(area->result || pthread_mutex_unlock(&area->mutex));
	}
	while (!(*word() & FUTEX_WAITERS) || task_state(pid) != 'S')
		sleep_ms(1);
	if (pthread_mutex_unlock(&area->mutex))
		return BAD;
	return waitpid(pid, &status, 0) == pid && !status && !*word() ? GOOD : BAD;
}

static int part_passed_on(void)
{
	pid_t pid;

	make_mutex(PTHREAD_MUTEX_NORMAL);
	pid = fork();
	if (!pid) {
		pthread_mutex_lock(&area->mutex);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	if (pthread_mutex_lock(&area->mutex) != EOWNERDEAD || pthread_mutex_unlock(&area->mutex))
		return BAD;
	return pthread_mutex_lock(&area->mutex) == ENOTRECOVERABLE ? GOOD : BAD;
}

static unsigned long peek(pid_t pid, unsigned long *address)
{
	char path[64];
	unsigned long value = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	file = fopen(path, "r");
	if (!file)
		bail_out("cannot read the memory of a child");
	setbuf(file, NULL);
	if (fseek(file, (long)address, SEEK_SET) || fread(&value, sizeof(value), 1, file) != 1)
		bail_out("cannot read the memory of a child");
	fclose(file);
	return value;
}

static int part_step(void)
{
	bool middle = false, free_seen = false;
	int steps = 0;
	pid_t pid;

	make_mutex(PTHREAD_MUTEX_NORMAL);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* What is done once for each thread, and each process, is done. */
		pthread_mutex_lock(&area->mutex);
		pthread_mutex_unlock(&area->mutex);
		pthread_mutex_lock(&area->mutex);
		area->pending = head_of_list() + 2;
		stop_for_tracer();
		area->begun = 1;
		pthread_mutex_unlock(&area->mutex);
		area->done = 1;
		for (;;)
			pause();
	}
	if (pid < 0 || !await_first_stop(pid))
		return BAD;
	while (!area->done) {
		if (step_once(pid) != STEP_STOPPED || ++steps > STEPS_MAX) {
			kill_traced(pid);
			return BAD;
		}
		if (!area->begun || *word())
			continue;
		free_seen = true;
		middle |= peek(pid, area->pending) != 0;
	}
	kill_traced(pid);
	if (!free_seen)
		return BAD;
	return middle ? MIDDLE_SEEN : GOOD;
}

static const struct part {
	const char *name;
	int (*run)(void);
	bool preloaded;
	int expected;
} parts[] = {
	{ "preload.unlock", part_unlock, true, GOOD },
	{ "preload.waiter", part_waiter, true, GOOD },
	{ "preload.passed_on", part_passed_on, true, GOOD },
	{ "preload.step", part_step, true, GOOD },
	{ "preload.step_without", part_step, false, MIDDLE_SEEN },
};

/* Its exit status, or -1; what it says on stderr is in @text. */
static int run_part(const struct part *part, char *text, size_t size)
{
	size_t length = 0;
	int ends[2], status;
	ssize_t got;
	pid_t pid;

	if (pipe(ends))
		bail_out("no pipe");
	fflush(stdout);
	pid = fork();
	if (!pid) {
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		close(ends[1]);
		setenv("ROBUST_UNLOCK_VERBOSE", "1", 1);
		if (part->preloaded)
			setenv("LD_PRELOAD", LIBRARY, 1);
		execl("/proc/self/exe", "preload", part->name, NULL);
		_exit(127);
	}
	close(ends[1]);
	while (length < size - 1 && (got = read(ends[0], text + length, size - 1 - length)) > 0)
		length += got;
	text[length] = 0;
	close(ends[0]);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	bool active = true;
	int failed = 0;
	char text[256];

	area = mmap(NULL, sizeof(*area), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (area == MAP_FAILED)
		bail_out("no memory");
	for (size_t i = 0; argc == 2 && i < ARRAY_SIZE(parts); i++)
		if (!strcmp(argv[1], parts[i].name))
			return parts[i].run();

	printf("TAP version 13\n1..%zu\n", ARRAY_SIZE(parts) + 1);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		const struct part *part = &parts[i];
		int status = run_part(part, text, sizeof(text));
		bool good = status == part->expected;

		if (part->preloaded && strcmp(text, ACTIVE))
			active = false;
		if (!good || (part->preloaded && !active))
			printf("# %s: status %d, says: %s\n", part->name, status, text);
		printf("%sok %zu %s\n", good ? "" : "not ", i + 1, part->name);
		failed += !good;
	}
	printf("%sok %zu %s\n", active ? "" : "not ", ARRAY_SIZE(parts) + 1, "preload.active");
	return failed || !active;
}
