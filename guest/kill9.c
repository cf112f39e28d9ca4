// SPDX-License-Identifier: GPL-2.0
/*
 * The state of a lock after its owner is killed, shown by means of the C library alone: a
 * robust mutex in memory that processes share.
 *
 * Two accounts hold 100 together. The owner takes the lock and 40 out of the first account,
 * and is killed by SIGKILL before it adds them to the second. The waiter blocks in
 * pthread_mutex_lock() meanwhile.
 *
 * If the kernel walks the owner's robust list, the waiter gets EOWNERDEAD, repairs the
 * accounts, marks the mutex consistent and continues: exit status 0. Before that the line of
 * robust-trace is shown, if the guest has the program and the kernel its events. If the kernel
 * does not, the waiter waits forever; after five seconds this program reports it and ends the
 * waiter: exit status 3. Anything else is status 1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "parts/util.h"

#define TIME_LIMIT 5.0
#define WAITS_FOR_EVER 3
#define TRACE_TOOL "/bin/robust-trace"

struct bank {
	pthread_mutex_t lock;
	volatile int first, second;
	volatile int half_done;		/* the owner is between the two writes */
	volatile int traced;		/* the waiter waits for a line of the trace */
	double began;
};

static struct bank *bank;

/* robust-trace, and what it prints; NULL if there is none */
static pid_t tracer;
static FILE *trace;

static double elapsed(void)
{
	return now_seconds() - bank->began;
}

static void __printf(1, 2) show(const char *format, ...)
{
	char text[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	printf("kill9: %6.3f %s\n", elapsed(), text);
	fflush(stdout);
}

/* Start robust-trace, if the guest has the program and the kernel its events. */
static void start_trace(void)
{
	char line[256];
	int ends[2];

	if (access(TRACE_TOOL, X_OK) || pipe(ends))
		return;
	tracer = fork();
	if (!tracer) {
		dup2(ends[1], 1);
		dup2(ends[1], 2);
		execl(TRACE_TOOL, TRACE_TOOL, NULL);
		_exit(1);
	}
	close(ends[1]);
	trace = tracer > 0 ? fdopen(ends[0], "r") : NULL;
	if (!trace)
		return;
	if (fgets(line, sizeof(line), trace) && !strcmp(line, "robust-trace: tracing\n")) {
		bank->traced = 1;
		return;
	}
	fclose(trace);
	waitpid(tracer, NULL, 0);
	trace = NULL;
}

/* Show its line on the owner, and let the waiter continue. */
static void show_trace(void)
{
	struct pollfd ready;
	char line[256];

	if (!trace)
		return;
	ready.fd = fileno(trace);
	ready.events = POLLIN;
	if (poll(&ready, 1, TIME_LIMIT * 1000) == 1 && fgets(line, sizeof(line), trace)) {
		line[strcspn(line, "\n")] = 0;
		show("robust-trace: %s", line);
	}
	bank->traced = 0;
	kill(tracer, SIGINT);
	fclose(trace);
	waitpid(tracer, NULL, 0);
}

static void create_bank(void)
{
	pthread_mutexattr_t shared_robust;
	int error, fd;

	/* Memory of a named file, for the trace */
	fd = memfd_create("bank", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, sizeof(*bank))) {
		perror("kill9: cannot make a file in memory");
		exit(1);
	}
	bank = mmap(NULL, sizeof(*bank), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (bank == MAP_FAILED) {
		perror("kill9: cannot map memory, give the guest more of it");
		exit(1);
	}
	bank->began = now_seconds();
	bank->first = 100;

	pthread_mutexattr_init(&shared_robust);
	pthread_mutexattr_setpshared(&shared_robust, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&shared_robust, PTHREAD_MUTEX_ROBUST);
	error = pthread_mutex_init(&bank->lock, &shared_robust);
	if (error) {
		show("The C library has no robust mutexes on this kernel (%s).",
		     strerror(error));
		exit(WAITS_FOR_EVER);
	}
}

static void own(void)
{
	pthread_mutex_lock(&bank->lock);
	bank->first -= 40;
	bank->half_done = 1;
	for (;;)
		pause();
}

static int wait_and_repair(void)
{
	int error = pthread_mutex_lock(&bank->lock);

	while (bank->traced)
		sleep_ms(5);
	if (error != EOWNERDEAD) {
		show("Waiter: pthread_mutex_lock() returns %s: wrong.",
		     error ? strerror(error) : "success");
		return 1;
	}
	show("Waiter: gets EOWNERDEAD, and with it the lock.");
	show("Waiter: finds %d + %d, not 100.", bank->first, bank->second);
	bank->second = 100 - bank->first;
	error = pthread_mutex_consistent(&bank->lock);
	if (error) {
		show("Waiter: pthread_mutex_consistent() returns %s.", strerror(error));
		return 1;
	}
	show("Waiter: repairs it to %d + %d; the mutex is consistent again.",
	     bank->first, bank->second);
	pthread_mutex_unlock(&bank->lock);

	error = pthread_mutex_lock(&bank->lock);
	if (error) {
		show("Waiter: the next lock fails: %s.", strerror(error));
		return 1;
	}
	pthread_mutex_unlock(&bank->lock);
	show("Waiter: locks and unlocks the mutex again.");
	return 0;
}

static pid_t start(int (*waiter)(void))
{
	pid_t pid = fork();

	if (pid < 0) {
		perror("kill9: cannot fork");
		exit(1);
	}
	if (pid)
		return pid;
	if (waiter)
		_exit(waiter());
	own();
	return 0;
}

/* Whether the futex word says that a thread is about to wait. */
static int contended(void)
{
#ifdef __GLIBC__
	return ((volatile unsigned int *)&bank->lock)[0] & 0x80000000;
#else
	return 1;
#endif
}

/* The exit status of the waiter, or -1 if it does not exit within the time. */
static int outcome(pid_t waiter)
{
	double deadline = elapsed() + TIME_LIMIT;
	int status;

	while (elapsed() < deadline) {
		if (waitpid(waiter, &status, WNOHANG) == waiter)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
		sleep_ms(5);
	}
	return -1;
}

int main(void)
{
	pid_t owner, waiter;
	int status;

	create_bank();
	start_trace();
	show("Two accounts hold 100 + 0, protected by a robust mutex.");

	owner = start(NULL);
	while (!bank->half_done)
		sleep_ms(5);
	show("Owner: has the lock, and took 40 out of the first account.");

	waiter = start(wait_and_repair);
	while (!contended() || task_state(waiter) != 'S')
		sleep_ms(5);
	show("Waiter: sleeps in pthread_mutex_lock().");

	show("kill -9 the owner, between its two writes.");
	kill(owner, SIGKILL);
	waitpid(owner, &status, 0);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
		show("The owner did not die of SIGKILL: wrong.");
		return 1;
	}
	show_trace();

	status = outcome(waiter);
	if (status == 0) {
		show("End: the owner is dead, the lock is usable.");
		return 0;
	}
	if (status > 0) {
		show("End: the waiter has failed.");
		return 1;
	}
	show("Nothing for %.0f seconds: the waiter is not woken.", TIME_LIMIT);
	kill(waiter, SIGKILL);
	waitpid(waiter, NULL, 0);
	show("End: the lock is lost, the waiter would wait forever.");
	return WAITS_FOR_EVER;
}
