// SPDX-License-Identifier: GPL-2.0
/*
 * attacks.huge_private, attacks.huge_shared: each part of the area begins with a huge page,
 * half of which has locks. One thread splits these huge pages, another one collapses them
 * again.
 *
 * Anonymous memory: MADV_COLD of a single page splits a huge page. Owner and threads share
 * the address space. Shared memory: a hole where its last page is splits it, and the other
 * process has page tables of its own.
 */
#define _GNU_SOURCE
#include "attacks.h"

#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_COLD
#define MADV_COLD	20
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE	25
#endif

#define HUGE_SIZE	"/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"

static size_t huge;
static int split_by;

static char *huge_page(int part)
{
	return (char *)slot_of(first_of(part));
}

static bool split(void)
{
	static int part;

	part = (part + 1) % PARTS;
	return !madvise(huge_page(part) + huge - page_size(), page_size(), split_by);
}

/* It begins where the other one is not. */
static bool collapse(void)
{
	static int part = PARTS / 2;

	part = (part + 1) % PARTS;
	return !madvise(huge_page(part), huge, MADV_COLLAPSE);
}

static void prepare(void)
{
	for (int part = 0; part < PARTS; part++)
		if (madvise(huge_page(part), huge, MADV_HUGEPAGE))
			skip("no huge pages for this kind of memory");
}

/* At first they are huge, if there are so many free. */
static void make_huge(pid_t owner)
{
	(void)owner;
	for (int part = 0; part < PARTS; part++)
		madvise(huge_page(part), huge, MADV_COLLAPSE);
}

static struct striker strikers[] = {
	{ .name = "huge pages are split", .strike = split, .counter = "thp_split_page" },
	{ .name = "they are collapsed", .strike = collapse, .counter = "thp_collapse_alloc" },
};

/* Whether the kernel knows this advice at all */
static bool can_collapse(int sharing)
{
	char *memory = map_memory(2 * huge, sharing), *page;
	bool can;

	page = (char *)(((uintptr_t)memory + huge - 1) & ~(huge - 1));
	*page = 1;
	can = !madvise(page, huge, MADV_COLLAPSE);
	munmap(memory, 2 * huge);
	return can;
}

static void attack_huge(int sharing)
{
	struct deaths deaths = {
		.sharing = sharing,
		.prepare = prepare,
		.before = make_huge,
		.strikers = strikers,
		.count = ARRAY_SIZE(strikers),
	};
	long long size = number_in(HUGE_SIZE, "");
	size_t used;

	if (size <= 0)
		skip("the kernel has no transparent huge pages");
	if (size > (long long)PART_SIZE)
		skip("huge pages are larger than what has room");
	if (number_in("/proc/vmstat", "thp_split_page") < 0)
		skip("the kernel does not count events of its memory");
	huge = size;
	if (!can_collapse(sharing))
		skip("the kernel does not collapse huge pages on request");
	used = huge / 2 / STEP;
	deaths.locks = PARTS * (used < PART_LOCKS ? used : PART_LOCKS);
	split_by = sharing == MAP_PRIVATE ? MADV_COLD : MADV_REMOVE;
	run_deaths(&deaths);
}

void attack_huge_private(void)
{
	attack_huge(MAP_PRIVATE);
}

void attack_huge_shared(void)
{
	if (!write_file(SHMEM_ENABLED, "advise"))
		skip("the kernel has no transparent huge pages in shared memory");
	attack_huge(MAP_SHARED);
}
