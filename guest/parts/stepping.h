/* SPDX-License-Identifier: GPL-2.0 */
/* A thread of a child that is stepped by ptrace, where an architecture can do that. */
#ifndef STEPPING_H
#define STEPPING_H

#include <stdbool.h>
#include <sys/types.h>

enum stepped {
	STEP_STOPPED,
	STEP_ENDED,
	STEP_IMPOSSIBLE,
};

/* In the child: be traced, and stop until the tracer steps this thread. */
void stop_for_tracer(void);

/* In the tracer, after fork(): false if the child ended instead. */
bool await_first_stop(pid_t pid);

/* One instruction. A signal other than the one of the step is passed on with the next. */
enum stepped step_once(pid_t pid);

/* Let it run with @signal to its end: its wait status, or -1. */
int run_to_end(pid_t pid, int signal);

/* SIGKILL: returns when it is reaped. */
void kill_traced(pid_t pid);

#endif /* STEPPING_H */
