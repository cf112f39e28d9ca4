/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Small helpers of more than one program of the guest. They need no header of the
 * kernel, so any C library will do.
 */
#ifndef UTIL_H
#define UTIL_H

#include <sys/syscall.h>
#include <sys/types.h>

/* Some 32-bit architectures have only the system call with 64-bit times. */
#ifndef SYS_futex
#define SYS_futex SYS_futex_time64
#endif

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define __printf(a, b)	__attribute__((format(printf, a, b)))
#define __noreturn	__attribute__((noreturn))

/* For clone(), from sched.h: a thread of the calling process */
#define THREAD_FLAGS	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | \
			 CLONE_SYSVSEM)

/* CLOCK_MONOTONIC */
double now_seconds(void);
long long now_ms(void);

void sleep_ns(long ns);
void sleep_ms(int ms);

/*
 * A diagnostic line of TAP, "# TEXT". It is written by one system call, because the
 * writer may be killed at any time.
 */
void __printf(1, 2) diag(const char *format, ...);

/* No result can follow: the guest lacks something. @what is shown with errno. */
void __noreturn bail_out(const char *what);

/* False if the file cannot be opened or does not take all of the text. */
int write_file(const char *path, const char *text);

/*
 * The number after this word in a file of lines "WORD NUMBER ...", or -1; other lines are
 * ignored. The word may be empty: then the file has nothing but a number.
 */
long long number_in(const char *path, const char *word);

/* The letter that /proc has for the task's state; '?', or 0 if there is no such task */
char task_state(pid_t tid);

/* The wait status of a child; -1 if it is not dead in time, and is killed. */
int end_of(pid_t pid, int seconds);

void print_clock_source(void);

#endif
