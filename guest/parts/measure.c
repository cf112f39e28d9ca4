// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include "measure.h"
#include "util.h"

#include <err.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

double now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

void stay_on_cpu(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		err(1, "cannot run on CPU %d: start the guest with more CPUs", cpu);
}

bool set_priority(int priority)
{
	struct sched_param parameter = { .sched_priority = priority };
	int policy = priority ? SCHED_FIFO : SCHED_OTHER;

#ifdef __GLIBC__
	return !sched_setscheduler(0, policy, &parameter);
#else
	/* The function of musl fails: POSIX has a scheduler for a process, Linux for a thread. */
	return !syscall(SYS_sched_setscheduler, 0, policy, &parameter);
#endif
}

static int compare(const void *left, const void *right)
{
	double difference = *(const double *)left - *(const double *)right;

	return difference < 0 ? -1 : difference > 0;
}

struct result summary(double *values, int count)
{
	struct result result = { .runs = count };

	qsort(values, count, sizeof(*values), compare);
	result.median = (values[(count - 1) / 2] + values[count / 2]) / 2;
	result.min = values[0];
	result.max = values[count - 1];
	result.quarter = values[(count - 1) / 4];
	result.three_quarters = values[count - 1 - (count - 1) / 4];
	return result;
}

struct result reduce(struct result result, double less, double divisor)
{
	result.median = (result.median - less) / divisor;
	result.min = (result.min - less) / divisor;
	result.max = (result.max - less) / divisor;
	result.quarter = (result.quarter - less) / divisor;
	result.three_quarters = (result.three_quarters - less) / divisor;
	return result;
}

void print_result(const char *measurement, const char *variant, long n, const char *unit,
		  struct result result)
{
	printf("%s\t%s\t%ld\t%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%d\n",
	       measurement, variant, n, unit, result.median, result.min, result.max,
	       result.quarter, result.three_quarters, result.runs);
	fflush(stdout);
}

void measure_begin(const char *about)
{
	struct utsname name;
	bool realtime;

	stay_on_cpu(0);
	realtime = set_priority(2);
	uname(&name);
	print_clock_source();
	printf("# Linux %s %s, %d-bit program, %s priorities, %s\n", name.release,
	       name.machine, (int)sizeof(long) * 8, realtime ? "real-time" : "ordinary", about);
	puts("measurement\tvariant\tn\tunit\tmedian\tmin\tmax\tquarter\tthree-quarters\truns");
	fflush(stdout);
}
