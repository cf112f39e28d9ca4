// SPDX-License-Identifier: GPL-2.0
/* One death: run the victim, then compare memory and waiters with what is promised. */
#define _FILE_OFFSET_BITS 64
#define _GNU_SOURCE
#include "fuzz.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void describe(void)
{
	static const char * const troubles[] = {
		"none", "read-only", "no access", "unmapped", "file ends",
	};
	int i, k;

	fail("%s, %s memory%s, %d thread(s), %u bytes, %d break(s)",
	     death_names[scene.death], scene.memory->name,
	     scene.common ? " in common" : "", scene.threads, scene.used,
	     scene.breaks);
	for (i = 0; i < scene.nr_lists; i++) {
		const struct list *list = &scene.lists[i];
		unsigned long long field[4] = { list->registered };

		for (k = 0; k < 3; k++)
			field[k + 1] = get_pointer(list->compat, before,
						   list->head + k * width(list));
		fail("list of thread %d, TID %u, %s: %u locks, stride %u, at +%#x",
		     list->thread, job->tids[list->thread],
		     list->compat ? "32-bit" : "64-bit", list->length, list->stride,
		     list->base);
		fail("its head +%#x, registered as %#llx, is {%#llx, %#llx, %#llx}",
		     list->head, field[0], field[1], field[2], field[3]);
	}
	for (i = 0; i < scene.nr_troubles; i++)
		fail("trouble: %s view, page +%#x, %s",
		     scene.troubles[i].view == LOW ? "low" : "high",
		     scene.troubles[i].page * page_size,
		     troubles[scene.troubles[i].kind]);
	for (i = 0; i < scene.nr_spots; i++)
		fail("waiters: %d at +%#x, word %08x, %d to %d wakeup(s) promised",
		     scene.spots[i].waiters, scene.spots[i].at,
		     get_word(before, scene.spots[i].at), scene.spots[i].least,
		     scene.spots[i].most);
	fail("low view at %p, high view at %p", scene.memory->view[LOW],
	     scene.memory->view[HIGH]);
}

static bool end_troubles(void)
{
	struct memory *memory = scene.memory;
	struct trouble *trouble;
	struct stat stat;
	bool right = true;
	__u32 start;
	int i;

	for (i = 0; i < scene.nr_troubles; i++) {
		trouble = &scene.troubles[i];
		start = trouble->page * page_size;
		if (trouble->kind == CUT_OFF) {
			if (fstat(memory->fd, &stat) || stat.st_size != start) {
				fail("the file has been extended");
				right = false;
			}
			if (ftruncate(memory->fd, ARENA_SIZE))
				right = false;
			memset(image + start, 0, ARENA_SIZE - start);
		} else if (trouble->kind == UNMAPPED) {
			if (!memory->shared)
				memset(image + start, 0, page_size);
			if (scene.common)
				right &= map_again(memory, trouble->view, start,
						   page_size);
			/* The page of a private file is a copy once it is written. */
			if (!memory->shared && right)
				memset(memory->control + start, 0, page_size);
		} else if (scene.common) {
			right &= !mprotect(memory->view[trouble->view] + start,
					   page_size, PROT_READ | PROT_WRITE);
		}
	}
	return right;
}

static bool check_memory(void)
{
	char *memory = scene.memory->control;
	__u32 at, shown = 0;

	if (!memcmp(memory, image, scene.written))
		return true;
	for (at = 0; at < scene.written && shown < 4; at += 4) {
		__u32 found = get_word(memory, at), right = get_word(image, at);

		if (found == right)
			continue;
		fail("word at +%#x: %08x became %08x, not %08x", at,
		     get_word(before, at), found, right);
		shown++;
	}
	return false;
}

static bool victim_ended(pid_t pid)
{
	int expected = 0, status = 0;

	if (job->trouble_failed)
		fail("the troubles could not be made");
	if (scene.death == THREAD_EXIT)
		return !job->trouble_failed;
	while (waitpid(pid, &status, __WALL) < 0)
		if (errno != EINTR)
			return false;
	if (scene.death == PROCESS_EXEC || scene.death == GROUP_EXEC)
		expected = AFTER_EXEC << 8;
	else if (scene.death == PROCESS_KILLED || scene.death == GROUP_KILLED)
		expected = scene.signal;
	if ((status & 0xff7f) != expected) {
		fail("the victim ended with status %#x, not %#x", status, expected);
		return false;
	}
	return !job->trouble_failed;
}

static void judge(void)
{
	int i, turn;

	fill_in(image);
	memcpy(before, image, scene.written);
	/* If the threads exit in an order, the first one exits last. */
	for (turn = 1; turn <= scene.threads; turn++)
		for (i = 0; i < scene.nr_lists; i++)
			if (scene.lists[i].thread == turn % scene.threads)
				promise_list(&scene.lists[i]);
}

bool fuzz_one(void)
{
	double began;
	bool right;
	pid_t pid;
	int i;

	make_scene();
	memcpy(scene.memory->control, image, scene.written);
	memset(job->tids, 0, sizeof(job->tids));
	job->ready = 0;
	job->trouble_failed = 0;
	if (!place_waiters())
		return false;

	began = now_seconds();
	pid = clone(victim, stack_of(0), clone_flags(), NULL);
	if (pid < 0) {
		fail("clone() fails");
		return false;
	}
	right = victim_ended(pid);
	if (now_seconds() - began > totals.longest)
		totals.longest = now_seconds() - began;

	judge();
	if (!end_troubles()) {
		fail("the troubles could not be undone");
		right = false;
	}
	right &= check_memory();
	right &= check_waiters();

	totals.deaths[scene.death]++;
	totals.kinds[scene.memory - memories]++;
	for (i = 0; i < scene.nr_lists; i++) {
		totals.lists++;
		totals.compat += scene.lists[i].compat;
		totals.locks += scene.lists[i].length;
	}
	if (!right || verbose)
		describe();
	return right;
}
