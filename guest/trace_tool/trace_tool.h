/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of the program trace_tool have in common: main.c describes it. */
#ifndef TRACE_TOOL_H
#define TRACE_TOOL_H

#include <linux/futex.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "parts/util.h"

#define TRACING		"/sys/kernel/tracing"
#define TOOL		"/bin/robust-trace"
#define LOCK_FILE	"/tmp/trace_tool.locks"
#define LOCK_OFFSET	64
/* Where the word of the lock is in the file */
#define WORD_OFFSET	(LOCK_OFFSET + offsetof(struct lock, word))
#define TIME_LIMIT	30000
/* Of a walk, in seconds: kernel/futex/robust.c has it as well */
#define WAIT_LIMIT	60

struct lock {
	struct robust_list list;
	volatile unsigned int word;
};

/* How an owner ends */
enum ending {
	KILLED,
	EXITS,
	EXECS,
	THREAD_EXITS,
	THREAD_EXECS,
};

/* Where its locks are */
enum place {
	IN_FILE,		/* one lock, in a file that this process has mapped, too */
	IN_PRIVATE,
	IN_SHARED,		/* anonymous memory, which no other process has mapped */
};

/* What an owner does. It has one lock, unless @many says how many */
struct owner {
	const char *comm;
	enum ending ending;
	int signal;		/* that kills it; 0 for SIGKILL */
	enum place place;
	bool pi;
	bool pending;		/* the lock is not held, and pending */
	bool releases;		/* besides its locks, the one in the file is pending */
	bool broken;		/* the link of the lock is NULL */
	bool late;		/* it leads to a page that never comes */
	bool read_only;		/* the second of two locks cannot be written */
	bool compat;		/* the list is a 32-bit one */
	bool namespace;		/* of PIDs, of its own */
	bool waiter;
	unsigned int many;
};

/* Shared with the owner */
struct shared {
	volatile int ready;
	volatile int go;
	volatile pid_t pid;	/* in the initial PID namespace */
	volatile pid_t tid;	/* in its own */
	volatile bool waits;
	const volatile unsigned int *volatile word;
};

/* What the last lines of a long output are kept in */
#define LINE_SIZE	512

/* A program as it runs, and what it has printed */
struct tool {
	pid_t pid;
	int out, err;
	char *text;		/* the beginning of its output, once it has ended */
	unsigned int lines;
	char last[LINE_SIZE];	/* the last line, and the one before it */
	char before[LINE_SIZE];
	char errors[4096];
	int status;
};

/* How a program is started */
struct how {
	void (*prepare)(void);	/* what its process does before */
	bool terminal;		/* its standard output is one, not a pipe */
	const char *no_color;	/* the variable NO_COLOR; NULL if there is none */
};

#define ARGUMENTS(...)	((char *const []){ TOOL, ##__VA_ARGS__, NULL })

/* main.c */

/* If it has not passed, the test fails, with this diagnostic line. */
void __printf(2, 3) check(bool passed, const char *format, ...);

/* owner.c */
extern struct shared *shared;
extern struct lock *file_lock;

void map_lock_file(void);

/* Returns the PID of the new owner, once it has its locks. */
pid_t start_owner(const struct owner *owner);

/* Start a waiter if there is to be one, and let the owner end. */
void end_owner(const struct owner *owner, pid_t pid);

/* Both */
pid_t let_die(const struct owner *owner);

/* tool.c */
void start_program(struct tool *tool, const struct how *how, char *const *arguments);

/* Begin to read its output: finish_tool() has it all. */
void collect(struct tool *tool);

/* Start the tool, and return when it follows the events. */
void start_tool_as(struct tool *tool, const struct how *how, char *const *arguments);
void start_tool(struct tool *tool, char *const *arguments);

/* It ends by itself, or has been told to. */
void finish_tool(struct tool *tool);

/* End it by SIGINT: it must exit with this status, and leave nothing behind. */
void stop_tool_with(struct tool *tool, int status);
void stop_tool(struct tool *tool);

/* What a file of the instance that it has made holds, up to the end of the line */
void read_instance(const struct tool *tool, const char *name, char *value, size_t size);

/* The output must be this line, in which a time comes first. */
void __printf(2, 3) expect_line(struct tool *tool, const char *format, ...);

/* The program must fail with this status and this as its last line. */
void __printf(4, 5) expect_failure(void (*prepare)(void), int status, char *const *arguments,
				   const char *format, ...);

/* start.c */
void test_not_mounted(void);
void test_no_tracefs(void);
void test_no_rights(void);
void test_no_events(void);
void test_usage(void);
void test_help(void);
void test_buffer(void);
void test_duration(void);
void test_output_full(void);

/* lines.c */
void test_killed(void);
void test_other_signals(void);
void test_exited(void);
void test_exec(void);
void test_thread(void);
void test_thread_exec(void);
void test_namespace(void);
void test_pending(void);
void test_pi(void);
void test_deleted(void);
void test_unmapped(void);
void test_control_characters(void);
void test_broken(void);
void test_fault(void);
void test_compat(void);
void test_pid(void);
void test_pid_of_thread(void);

/* forms.c */
void test_colour_terminal(void);
void test_colour_pipe(void);
void test_no_color(void);
void test_no_color_empty(void);
void test_json(void);
void test_json_endings(void);
void test_json_terminal(void);
void test_recorded(void);

/* many.c */
void test_summary(void);
void test_lost(void);
void test_million(void);
void test_visit_limit(void);
void test_time_limit(void);

#endif /* TRACE_TOOL_H */
