/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * robust-trace: a line for each robust futex that an exit or exec leaves held.
 */
#ifndef _ROBUST_TRACE_H
#define _ROBUST_TRACE_H

#include <stdbool.h>
#include <stdio.h>

#define ARRAY_SIZE(array)	(sizeof(array) / sizeof((array)[0]))
#define __printf(a, b)		__attribute__((format(printf, a, b)))
#define __noreturn		__attribute__((noreturn))

/* The trace events, see Documentation/trace/events-futex.rst */
enum event_type {
	EVENT_MARK,
	EVENT_WAKE,
	EVENT_WALK,
	NR_EVENT_TYPES,
};

extern const char * const event_names[NR_EVENT_TYPES];

/**
 * struct event - A trace event, of any of the types
 * @type:	its type; those fields are 0 that it does not have
 * @time:	timestamp, in nanoseconds
 * @comm:	name of the task that ended
 * @pid:	its TID, and @tgid its PID, in the initial PID namespace
 * @tid:	its TID as its locks carry it
 * @exec:	whether it execs and does not exit
 * @signal:	the signal that ended it, or 0
 * @status:	its exit status
 * @compat:	whether its list is a 32-bit one
 * @woken:	how many waiters were woken
 * @address:	user address of the futex word, or of the head of the list
 * @value:	what the word held
 * @pending:	whether the lock was that of list_op_pending
 * @pi:		whether it is a PI futex
 * @located:	whether the kernel has looked up the file
 * @dev:	device of the file that the word is in, as the kernel encodes it
 * @ino:	inode of the file; 0 if the memory is private
 * @offset:	offset of the word in the file
 * @marked:	locks that were marked in the walk
 * @not_held:	locks that were not the task's
 * @faults:	words that could not be read or written
 * @visits:	steps of the walk
 * @duration:	of the walk, in nanoseconds
 * @reason:	why the walk ended, the kernel's number
 */
struct event {
	enum event_type type;
	unsigned long long time;
	char comm[17];
	unsigned long long pid, tgid, tid, exec, signal, status, compat, woken;
	unsigned long long address, value, pending, pi, located;
	unsigned long long dev, ino, offset;
	unsigned long long marked, not_held, faults, visits, duration, reason;
};

/**
 * struct style - How events are printed
 * @json:	as JSON, an object a line
 * @colour:	with colours, for a terminal
 * @resolve:	look for the names of files
 */
struct style {
	bool json;
	bool colour;
	bool resolve;
};

void print_event(FILE *file, const struct event *event, const struct style *style);

const char *file_name(unsigned long long dev, unsigned long long ino);

void tally_mark(unsigned long long pid);
unsigned long long tally_take(unsigned long long pid);

#endif /* _ROBUST_TRACE_H */
