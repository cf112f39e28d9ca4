// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * robust-trace: an event as a line of text, or of JSON.
 */
#include <ctype.h>
#include <signal.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "robust-trace.h"

#define BOLD	"\033[1m"
#define RED	"\033[31m"
#define PLAIN	"\033[m"

/* By the numbers of the kernel's enum robust_end */
static const struct {
	const char *name;
	const char *text;
} reasons[] = {
	{ "end", "at its end" },
	{ "null", "at a link that is NULL" },
	{ "unreadable", "at a link that cannot be read" },
	{ "tries", "after too many entries that it did not hold" },
	{ "visits", "after too many entries" },
	{ "time", "at a link whose page did not come in time" },
};

#define NR_REASONS	ARRAY_SIZE(reasons)

/* The name of a signal, or its number as text */
static const char *signal_name(unsigned int number, char *buffer, size_t size)
{
	const char *name = sigabbrev_np(number);

	if (name)
		snprintf(buffer, size, "SIG%s", name);
	else
		snprintf(buffer, size, "signal %u", number);
	return buffer;
}

/* A name may hold any byte. Those that a terminal might act on are replaced. */
static void print_name(FILE *file, const char *name)
{
	for (; *name; name++)
		fputc(isprint((unsigned char)*name) ? *name : '?', file);
}

static void print_json_string(FILE *file, const char *string)
{
	fputc('"', file);
	for (; *string; string++) {
		unsigned char byte = *string;

		/* Each byte is a character: what it encodes is not known. */
		if (byte == '"' || byte == '\\')
			fprintf(file, "\\%c", byte);
		else if (byte < 0x20 || byte >= 0x7f)
			fprintf(file, "\\u%04x", byte);
		else
			fputc(byte, file);
	}
	fputc('"', file);
}

static const char *plural(unsigned long long number)
{
	return number == 1 ? "" : "s";
}

static void print_owner(FILE *file, const struct event *event, const struct style *style)
{
	if (style->colour)
		fputs(BOLD, file);
	print_name(file, event->comm);
	fprintf(file, "[%llu", event->tgid);
	if (event->pid != event->tgid)
		fprintf(file, "/%llu", event->pid);
	if (event->tid != event->pid)
		fprintf(file, ", TID %llu in its namespace", event->tid);
	fputc(']', file);
	if (style->colour)
		fputs(PLAIN, file);
}

static void print_ending(FILE *file, const struct event *event, const struct style *style)
{
	char buffer[32];

	if (event->exec)
		fputs("exec", file);
	else if (event->signal)
		fprintf(file, "%skilled by %s%s", style->colour ? RED : "",
			signal_name(event->signal, buffer, sizeof(buffer)),
			style->colour ? PLAIN : "");
	else
		fprintf(file, "exit status %llu", event->status);
}

static void print_lock(FILE *file, const struct event *event, const struct style *style)
{
	const char *name;

	if (!event->ino) {
		fprintf(file, "%s 0x%llx", event->located ? "private" : "unknown",
			event->address);
	} else {
		name = style->resolve ? file_name(event->dev, event->ino) : NULL;
		if (name)
			print_name(file, name);
		if (name && strstr(name, " (deleted)"))
			fprintf(file, " inode %llu", event->ino);
		if (!name)
			fprintf(file, "dev %llu:%llu inode %llu", event->dev >> 20,
				event->dev & 0xfffff, event->ino);
		fprintf(file, "+0x%llx", event->offset);
	}
	if (event->pending)
		fputs(" (pending)", file);
	if (event->pi)
		fputs(" (PI)", file);
}

static void print_walk(FILE *file, const struct event *event)
{
	fprintf(file, "%s list: %llu marked, %llu woken, %llu not held, ",
		event->compat ? "32-bit" : "robust", event->marked, event->woken,
		event->not_held);
	fprintf(file, "%llu fault%s, %llu visit%s in %llu us, ended ", event->faults,
		plural(event->faults), event->visits, plural(event->visits),
		event->duration / 1000);
	if (event->reason < NR_REASONS)
		fputs(reasons[event->reason].text, file);
	else
		fprintf(file, "for reason %llu", event->reason);
}

static void print_text(FILE *file, const struct event *event, const struct style *style)
{
	fprintf(file, "%llu.%06llu ", event->time / 1000000000, event->time / 1000 % 1000000);
	print_owner(file, event, style);
	fputs(": ", file);
	print_ending(file, event, style);
	fputs(": ", file);
	if (event->type == EVENT_WALK) {
		print_walk(file, event);
	} else {
		print_lock(file, event, style);
		fputs(event->type == EVENT_MARK ? ": marked" : ": not held", file);
		/* The waiter of a PI futex gets it after the walk. */
		if (!event->pi)
			fprintf(file, ", %s", event->woken ? "waiter woken" : "no waiter");
	}
	fputc('\n', file);
}

static void print_json(FILE *file, const struct event *event, const struct style *style)
{
	const char *name;
	char buffer[32];

	fprintf(file, "{\"event\":\"%s\",\"time\":%llu.%09llu,\"comm\":",
		event_names[event->type], event->time / 1000000000, event->time % 1000000000);
	print_json_string(file, event->comm);
	fprintf(file, ",\"pid\":%llu,\"tgid\":%llu,\"tid\":%llu,\"exec\":%s",
		event->pid, event->tgid, event->tid, event->exec ? "true" : "false");
	if (event->signal)
		fprintf(file, ",\"signal\":\"%s\"",
			signal_name(event->signal, buffer, sizeof(buffer)));
	else if (!event->exec)
		fprintf(file, ",\"status\":%llu", event->status);
	fprintf(file, ",\"compat\":%s,\"woken\":%llu", event->compat ? "true" : "false",
		event->woken);
	if (event->type == EVENT_WALK) {
		fprintf(file, ",\"head\":\"0x%llx\",\"marked\":%llu,\"not_held\":%llu,",
			event->address, event->marked, event->not_held);
		fprintf(file, "\"faults\":%llu,\"visits\":%llu,\"duration\":%llu,\"reason\":",
			event->faults, event->visits, event->duration);
		if (event->reason < NR_REASONS)
			fprintf(file, "\"%s\"}\n", reasons[event->reason].name);
		else
			fprintf(file, "\"%llu\"}\n", event->reason);
		return;
	}

	fprintf(file, ",\"address\":\"0x%llx\",\"value\":%llu,\"pending\":%s,\"pi\":%s",
		event->address, event->value, event->pending ? "true" : "false",
		event->pi ? "true" : "false");
	fprintf(file, ",\"located\":%s", event->located ? "true" : "false");
	if (event->ino) {
		fprintf(file, ",\"dev\":\"%llu:%llu\",\"ino\":%llu,\"offset\":%llu",
			event->dev >> 20, event->dev & 0xfffff, event->ino, event->offset);
		name = style->resolve ? file_name(event->dev, event->ino) : NULL;
		if (name) {
			fputs(",\"file\":", file);
			print_json_string(file, name);
		}
	}
	fputs("}\n", file);
}

/**
 * print_event() - Print a line for an event
 * @file:	where to
 * @event:	the event
 * @style:	in which form
 */
void print_event(FILE *file, const struct event *event, const struct style *style)
{
	if (style->json)
		print_json(file, event, style);
	else
		print_text(file, event, style);
}
