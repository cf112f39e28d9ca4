// SPDX-License-Identifier: GPL-2.0
/*
 * attacks.migrated, attacks.compacted, attacks.merged: pages are moved, or merged, while the
 * locks in them are marked.
 *
 * Compaction moves pages from one end of a zone to the other. Each page of the area has one
 * behind it that is free again, so that there is something to do, once. It begins when the
 * owner is about to die. The places of the pages in physical memory show which were moved.
 *
 * KSM merges pages with the same contents, and a write to one of them copies it. All pages
 * with words are the same: those of the owner, and as many that are on no list.
 */
#define _GNU_SOURCE
#include "attacks.h"

#include <fcntl.h>
#include <linux/mempolicy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define VMSTAT		"/proc/vmstat"
#define NODES		2
#define SECOND_NODE	"/sys/devices/system/node/node1"
#define COMPACT		"/proc/sys/vm/compact_memory"

/* What one call moves */
#define CHUNK		64

static int pages_of_part(void)
{
	return PART_LOCKS * STEP / page_size();
}

static char *lock_page(int number)
{
	return (char *)slot_of(first_of(number / pages_of_part())) +
	       number % pages_of_part() * page_size();
}

/* Some pages one after the other, to one node and then to the other one */
static bool migrate(void)
{
	static int next, node;
	void *pages[CHUNK];
	int nodes[CHUNK], status[CHUNK], moved = 0;

	for (int i = 0; i < CHUNK; i++) {
		pages[i] = lock_page(next);
		nodes[i] = node;
		status[i] = -1;
		next = (next + 1) % (PARTS * pages_of_part());
		if (!next)
			node = (node + 1) % NODES;
	}
	syscall(SYS_move_pages, 0, (long)CHUNK, pages, nodes, status, MPOL_MF_MOVE_ALL);
	for (int i = 0; i < CHUNK; i++)
		moved += status[i] == nodes[i];
	return moved > 0;
}

void attack_migrated(void)
{
	static struct striker strikers[] = {
		{ .name = "pages are migrated", .strike = migrate, .counter = "pgmigrate_success" },
	};
	struct deaths deaths = {
		.sharing = MAP_SHARED,
		.locks = AREA_LOCKS,
		.strikers = strikers,
		.count = ARRAY_SIZE(strikers),
	};

	if (access(SECOND_NODE, F_OK))
		skip("the machine has one node");
	if (number_in(VMSTAT, "pgmigrate_success") < 0)
		skip("the kernel does not count the pages that are moved");
	run_deaths(&deaths);
}

static int pagemap = -1;
static __u64 *places;
static long moved_pages;

/* Where the page is in physical memory; 0 if it is not there */
static __u64 place_of(char *page)
{
	__u64 entry;
	off_t at = (uintptr_t)page / page_size() * sizeof(entry);

	if (pread(pagemap, &entry, sizeof(entry), at) != sizeof(entry) || !(entry >> 63))
		return 0;
	return entry & ((1ULL << 55) - 1);
}

/* Each page of the area, and behind it one that is freed again */
static void scatter(void)
{
	int pages = PARTS * pages_of_part();
	char *others = map_memory(pages * page_size(), MAP_PRIVATE);

	madvise(others, pages * page_size(), MADV_NOHUGEPAGE);
	for (int i = 0; i < pages; i++) {
		lock_page(i)[0] = 0;
		others[i * page_size()] = 1;
	}
	munmap(others, pages * page_size());
}

static void note_places(pid_t owner)
{
	(void)owner;
	for (int i = 0; i < PARTS * pages_of_part(); i++)
		places[i] = place_of(lock_page(i));
}

static void compare_places(void)
{
	for (int i = 0; i < PARTS * pages_of_part(); i++) {
		__u64 place = place_of(lock_page(i));

		moved_pages += place && places[i] && place != places[i];
	}
}

static bool compact(void)
{
	return write_file(COMPACT, "1");
}

void attack_compacted(void)
{
	static struct striker strikers[] = {
		{ .name = "memory is compacted", .strike = compact,
		  .counter = "pgmigrate_success", .when_dying = true },
	};
	struct deaths deaths = {
		.sharing = MAP_SHARED,
		.locks = AREA_LOCKS,
		.prepare = scatter,
		.before = note_places,
		.after = compare_places,
		.strikers = strikers,
		.count = ARRAY_SIZE(strikers),
	};

	if (access(COMPACT, W_OK))
		skip("the kernel does not compact memory, or not for this user");
	if (number_in(VMSTAT, "pgmigrate_success") < 0)
		skip("the kernel does not count the pages that are moved");
	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	places = calloc(PARTS * pages_of_part(), sizeof(*places));
	if (pagemap < 0 || !places)
		skip("the kernel does not say where pages are");
	run_deaths(&deaths);
	diag("%ld pages were at another place after the death", moved_pages);
	check(moved_pages);
}

/* Pages of the owner, and as many of others with the same contents */
#define OWN		64
#define ALL		(2 * OWN)
/* So many pages that share another one: more than half of the owner's are among them. */
#define SHARING		(OWN + OWN / 2)
#define MERGE_DEATHS	6

static struct robust_list_head merged_head;

/* Pages that were merged when it was killed */
static long long run_merged(void)
{
	struct far_outcome own, others;
	struct far far;
	long long sharing;
	pid_t owner, tid;

	memset(owners, 0, sizeof(*owners));
	make_far(&far, MAP_PRIVATE, ALL);
	owner = start_sharing(own_far, &merged_head, 0);
	await(owners->tids[0]);
	tid = owners->tids[0];
	own_pages(&far, 0, OWN, &merged_head, tid, &merged_head.list);
	for (int page = OWN; page < ALL; page++)
		for (int i = 0; i < PER_PAGE; i++)
			*far_word(&far, page, i) = far_held(i, tid);
	/* Before: what looks up a word copies its page if that is merged. */
	start_pairs(&far, 0, ALL);
	if (madvise(far.words, ALL * far.size, MADV_MERGEABLE))
		skip("the kernel does not merge pages");
	await((sharing = number_in(KSM "pages_sharing", "")) >= SHARING);
	check(number_in(KSM "pages_shared", "") > 0);
	let_die(owner, true);

	judge_pages(&far, 0, OWN, tid, &own);
	judge_pages(&far, OWN, ALL, tid, &others);
	end_pairs(&far);
	check(own.marked == OWN * PER_PAGE);
	check(own.woken == OWN && !own.badly_woken);
	check(others.unmarked == OWN * PER_PAGE);
	check(!others.badly_woken);
	free_far(&far);
	return sharing;
}

void attack_merged(void)
{
	struct repeat repeat = {};
	long long sharing = 0;

	if (!write_file(KSM "pages_to_scan", "4000") || !write_file(KSM "sleep_millisecs", "1") ||
	    !write_file(KSM "run", "1"))
		skip("the kernel does not merge pages");
	while (once_more(&repeat, MERGE_DEATHS, true))
		sharing += run_merged();
	diag("%d deaths, up to %lld ms, with %lld pages that were merged", repeat.deaths, longest,
	     sharing);
}
