/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The common part of the programs that measure costs: real-time priorities, one CPU, a
 * clock, and a table like that of robust_bench. It needs no header of the kernel, so that it
 * works with any C library.
 */
#ifndef MEASURE_H
#define MEASURE_H

#include <stdbool.h>

/* Single runs, each short enough that most have no timer interrupt */
#define MANY_RUNS	101

/* The quarters are where the middle half of the runs begins and ends. */
struct result {
	double median, min, max, quarter, three_quarters;
	int runs;
};

/* CLOCK_MONOTONIC in nanoseconds, which are instructions where the clock counts them */
double now_ns(void);

/* Let the calling thread run on this CPU alone; the program ends if there is none. */
void stay_on_cpu(int cpu);

/* SCHED_FIFO with this priority, or SCHED_OTHER for 0. */
bool set_priority(int priority);

/* Sorts @values. */
struct result summary(double *values, int count);

/* Each figure minus @less, divided by @divisor. */
struct result reduce(struct result result, double less, double divisor);

/* One line of the table. */
void print_result(const char *measurement, const char *variant, long n, const char *unit,
		  struct result result);

/*
 * Take the first CPU and real-time priority 2, and print the head of the table: the
 * kernel, its clock source, the columns. @about is a further description.
 */
void measure_begin(const char *about);

#endif
