// SPDX-License-Identifier: GPL-2.0
/* The promises: a list is walked in the image as the kernel must walk it. */
#include "fuzz.h"

/* The number of entries with nothing to mark that end a list */
#define TRIES		2048

/*
 * The place of an address in memory, for an access of @size bytes; false if the victim
 * may not access it.
 */
static bool reachable(__u64 address, __u32 size, bool write, __u32 *at)
{
	__u64 start, page;
	int view;

	for (view = 0; view < VIEWS; view++) {
		start = (uintptr_t)scene.memory->view[view];
		if (!start || address < start || address - start > ARENA_SIZE - size)
			continue;
		*at = address - start;
		for (page = *at / page_size;
		     page <= (*at + size - 1) / page_size; page++) {
			switch (page_trouble[view][page]) {
			case NO_TROUBLE:
				break;
			case READ_ONLY:
				if (write)
					return false;
				break;
			default:
				return false;
			}
		}
		return true;
	}
	return false;
}

/* The bits that count in the pointers and addresses of a list */
static __u64 pointer_mask(const struct list *list)
{
	return list->compat ? POINTER_MASK : UINT64_MAX;
}

static bool promise_read(const struct list *list, __u64 from, __u64 *value)
{
	__u32 at;

	from &= pointer_mask(list);
	if (!misaligned_links && from % width(list))
		return false;
	if (!reachable(from, width(list), false, &at))
		return false;
	*value = get_pointer(list->compat, image, at) & pointer_mask(list);
	return true;
}

static void promise_wakeup(__u32 at, int least)
{
	int i;

	for (i = 0; i < scene.nr_spots; i++) {
		if (scene.spots[i].at != at)
			continue;
		scene.spots[i].least += least;
		scene.spots[i].most++;
	}
}

/* The word of a listed lock. Returns whether it is to be marked. */
static bool promise_lock(__u64 address, bool pi, __u32 tid)
{
	__u32 at, word;

	if (address % 4 || !reachable(address, 4, true, &at))
		return false;
	word = get_word(image, at);
	if ((word & FUTEX_TID_MASK) != tid)
		return false;
	put_word(image, at, MARKED_BITS(word));
	if (word & FUTEX_WAITERS && !pi)
		promise_wakeup(at, 1);
	totals.marked++;
	return true;
}

static void promise_pending(__u64 address, bool pi, __u32 tid)
{
	__u32 at, word, owner;

	if (address % 4 || !reachable(address, 4, false, &at))
		return;
	totals.pending++;
	word = get_word(image, at);
	owner = word & FUTEX_TID_MASK;
	if (owner == tid) {
		promise_lock(address, pi, tid);
		return;
	}
	if (pi)
		return;
	/*
	 * The key of private memory without a file is its address, whether it can be written
	 * or not. In a private mapping of a file it depends on the page, which may be the
	 * file's own, and there is none for an anonymous page that cannot be written.
	 */
	if (!scene.memory->shared && scene.memory->fd >= 0 &&
	    !reachable(address, 4, true, &at))
		return;
	/*
	 * If the owner dies at the same time, either its exit wakes, or its word is marked
	 * already and has no owner any more.
	 */
	if (word & FUTEX_WAITERS && together() &&
	    (owner == job->tids[0] || owner == job->tids[1] ||
	     owner == job->tids[2] || word == MARKED_BITS(word)))
		promise_wakeup(at, 0);
	else if (!owner || !(word & FUTEX_WAITERS))
		promise_wakeup(at, 1);
}

void promise_list(const struct list *list)
{
	__u64 mask = pointer_mask(list);
	__u64 head = list->registered & mask;
	__u64 offset, pending = 0, at = head, next;
	__u32 tid = job->tids[list->thread];
	int tries = TRIES;
	bool known;

	if (!head)
		return;
	if (!promise_read(list, head + 2 * width(list), &pending))
		pending = 0;
	known = promise_read(list, head, &at);
	if (!promise_read(list, head + width(list), &offset))
		return;

	while (known && (at & ~1ULL) != head && tries) {
		__u64 lock = at & ~1ULL;

		known = promise_read(list, lock, &next);
		if (!lock || lock == (pending & ~1ULL) ||
		    !promise_lock((lock + offset) & mask, at & 1, tid)) {
			totals.missed++;
			tries--;
		}
		at = next;
	}
	totals.ended_by_limit += !tries;
	totals.ended_by_pointer += !known;

	if (pending & ~1ULL)
		promise_pending(((pending & ~1ULL) + offset) & mask, pending & 1, tid);
}
