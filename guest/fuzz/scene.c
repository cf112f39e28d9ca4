// SPDX-License-Identifier: GPL-2.0
/* The construction of a scene: lists and locks, waiters, pages that are taken away. */
#include "fuzz.h"

#include <signal.h>
#include <string.h>

struct scene scene;

const char * const death_names[DEATHS] = {
	"thread", "process exits", "process killed", "process execs",
	"group exits", "group killed", "group execs", "group in turn",
};

/* The intended contents of the memory before the death, and the required ones after it */
char *before;
char *image;

/* The trouble of each page of each view */
__u8 *page_trouble[VIEWS];

/* The locks of a list, in the order in which they are on it */
static __u32 order[LOCKS_MAX];

static __u32 round_up(__u32 number, __u32 unit)
{
	return (number + unit - 1) / unit * unit;
}

__u32 width(const struct list *list)
{
	return list->compat ? 4 : 8;
}

__u64 view_address(enum view view, __u32 at)
{
	return (uintptr_t)scene.memory->view[view] + at;
}

bool together(void)
{
	return scene.threads > 1 && scene.death != GROUP_IN_TURN;
}

static __u32 random_length(void)
{
	__u32 roll = below(1000);

	if (roll < 60)
		return 0;
	if (roll < 500)
		return between(1, 8);
	if (roll < 740)
		return between(9, 100);
	if (roll < 930)
		return between(101, 2000);
	if (roll < 985)
		return between(2001, 6000);
	if (roll < 996)
		return between(6001, 30000);
	return between(30001, LOCKS_MAX);
}

static __u32 some_bits(void)
{
	static const __u32 bits[] = {
		0, FUTEX_WAITERS, FUTEX_OWNER_DIED, FUTEX_WAITERS | FUTEX_OWNER_DIED,
	};

	return bits[below(4)];
}

/* A word that the victim's thread does not own */
static __u32 foreign_word(const struct list *list)
{
	switch (below(8)) {
	case 0:
		return 0;
	case 1:
		return some_bits();
	case 2:
		return OTHER_TID;
	case 3:
		return UINT32_MAX;
	case 4:
		return random_bits();
	case 5:
		/* Of another thread, if there is one */
		return (TID_OF + (list->thread + 1) % scene.threads) | some_bits();
	case 6:
		/* Equal to the TID in all bits but one: set when that is known */
		return (TID_OF + THREADS_MAX + list->thread) | some_bits();
	default:
		return OTHER_TID | some_bits();
	}
}

static __u32 lock_word(const struct list *list)
{
	__u32 word = TID_OF + list->thread;

	if (below(1000) < list->foreign)
		return foreign_word(list);
	switch (below(8)) {
	case 0:
		return word | FUTEX_OWNER_DIED;
	case 1:
	case 2:
		return word | some_bits();
	case 3:
	case 4:
		return word | FUTEX_WAITERS;
	default:
		return word;
	}
}

/* The place of the entry, or of the word, of a lock in memory */
static __u32 entry_at(const struct list *list, __u32 index)
{
	return list->base + index * list->stride + list->entry;
}

static __u32 word_at(const struct list *list, __u32 index)
{
	return list->base + index * list->stride + list->word;
}

static __u64 entry_address(const struct list *list, __u32 index)
{
	enum view view = list->entry_view;

	if (list->both_views && percent(50))
		view = !view;
	return view_address(view, entry_at(list, index));
}

static __u64 pi_bit(const struct list *list)
{
	return below(1000) < list->pi;
}

static struct list *random_list(void)
{
	return &scene.lists[below(scene.nr_lists)];
}

static __u32 random_index(const struct list *list)
{
	return below(list->length + list->spare);
}

/* An invalid pointer, for @list */
static __u64 wrong_pointer(const struct list *list)
{
	const struct list *other = random_list();
	enum view view = scene.memory->view[HIGH] && !list->compat && percent(30) ?
			 HIGH : LOW;

	switch (below(22)) {
	case 0:
		return 0;
	case 1:
		return 1;
	case 2:
		return below(page_size);
	case 3:
		/* The direct map of x86 */
		return list->compat ? 0xfffff000U : 0xffff888000001000ULL;
	case 4:
		/* The kernel text of x86 */
		return list->compat ? 0xffffe000U + below(8192) : 0xffffffff81000000ULL;
	case 5:
		return list->compat ? 0xfffffffcU : 0x0123456789abcdefULL;
	case 6:
		return list->compat ? 0xffffffffU : 0x0000800000000000ULL - 8 * below(4);
	case 7:
		return list->compat ? 0xfffffffeU : 0x8000000000000000ULL | random_bits();
	case 8:
		return list->compat ? 0xffffff00U : 0xffffffffffffffffULL - below(16);
	case 9:
		/* The page before the memory */
		return view_address(view, 0) - 1 - below(64);
	case 10:
		/* The last bytes, and behind them */
		return view_address(view, ARENA_SIZE) - below(32);
	case 11:
		/* Anywhere */
		return view_address(view, below(scene.used));
	case 12:
		return view_address(view, below(scene.used) & ~7U);
	case 13:
		/* Across the border of two pages */
		return view_address(view, below(scene.used / page_size + 1) *
				    page_size + page_size - between(1, 8));
	case 14:
		/* The head: the end of the list too early, or no end */
		return view_address(view, list->head);
	case 15:
		return view_address(LOW, other->head);
	case 16:
		return entry_address(list, random_index(list)) + 2 * between(1, 3);
	case 17:
		return entry_address(list, random_index(list)) | 1;
	case 18:
	case 19:
		/* This list continues in another one of the same kind */
		if (other->compat == list->compat)
			return view_address(LOW, entry_at(other, random_index(other)));
		return list->registered;
	default:
		/* A cycle, or a link that skips some locks */
		return entry_address(list, random_index(list));
	}
}

static __u64 wrong_offset(const struct list *list)
{
	static const __u64 far[] = {
		INT64_MAX, INT64_MAX - 7, INT64_MIN, INT32_MAX, INT32_MAX - 3,
		1ULL << 31, 1ULL << 32, 0, -1ULL, 4, 8, 1ULL << 47,
	};

	switch (below(4)) {
	case 0:
		return list->offset + between(1, 3);
	case 1:
		return list->offset - between(1, 3);
	case 2:
		/* The link of a lock at NULL */
		return view_address(LOW, word_at(list, 0));
	default:
		return far[below(ARRAY_SIZE(far))] + 4 * below(2);
	}
}

/* The places of the locks of a list, and a check for room */
static void lay_out(struct list *list, __u32 room)
{
	__u32 size = width(list), unit = 4, slots, i;
	__u32 strides[] = {
		size + 4, size + 4, 16, 24, 40, 40, 64, 100, 256, page_size,
		page_size + 4, 2 * page_size - 4,
	};

	/* Most lists are aligned where the kernel reads no other links. */
	if (!misaligned_links && percent(90))
		unit = size;
	for (i = 0; i < ARRAY_SIZE(strides); i++)
		strides[i] = round_up(strides[i], unit);

	list->length = random_length();
	list->spare = between(1, 3);
	slots = list->length + list->spare;
	i = below(ARRAY_SIZE(strides));
	while ((__u64)slots * strides[i] > room / 2 && i)
		i--;
	list->stride = strides[i];
	if ((__u64)slots * list->stride > room / 2) {
		list->length = room / 2 / list->stride / 2;
		slots = list->length + list->spare;
	}

	/* Entry and word side by side, in either order */
	if (percent(50)) {
		list->entry = 4 * below((list->stride - size - 4) / 4 + 1);
		list->entry -= list->entry % unit;
		list->word = list->entry + size;
	} else {
		list->word = 4 * below((list->stride - size - 4) / 4 + 1);
		list->entry = round_up(list->word + 4, unit);
		list->word = list->entry - 4;
	}
	/* The entries in one place and the words in another */
	if (percent(15))
		list->word += slots * list->stride;
	/* One overlaps the other */
	else if (percent(3) && !together())
		list->word = list->entry + (list->compat ? 0 : 4 * below(2));

	list->entry_view = LOW;
	list->word_view = LOW;
	if (scene.memory->view[HIGH] && !list->compat) {
		list->entry_view = percent(40) ? HIGH : LOW;
		list->word_view = percent(80) ? list->entry_view : !list->entry_view;
		list->both_views = list->entry_view == list->word_view && percent(10);
	}
	list->offset = view_address(list->word_view, list->word) -
		       view_address(list->entry_view, list->entry);

	scene.used += 4 * below(4);
	if (percent(20))
		scene.used += page_size - scene.used % page_size -
			      4 * below(list->stride / 4 + 1) % page_size;
	scene.used = round_up(scene.used, unit);
	list->base = scene.used;
	scene.used += list->stride * slots;
	if (list->word >= list->stride)
		scene.used += list->stride * slots;

	scene.used = round_up(scene.used, 8);
	if (percent(10))
		scene.used += page_size - scene.used % page_size - size * between(1, 2);
	list->head = scene.used;
	scene.used += 3 * size;
	list->registered = view_address(list->compat || percent(70) ||
					!scene.memory->view[HIGH] ? LOW : HIGH,
					list->head);
}

/* Fill memory that no list uses with words that must not change, such as the victim's TID */
static void fill_gaps(void)
{
	__u32 words = scene.used / 4, i;
	__u32 *word = (__u32 *)image;

	if (scene.used > 65536) {
		for (i = 0; i < words; i++)
			word[i] = OTHER_TID;
		return;
	}
	for (i = 0; i < words; i++) {
		switch (random_bits() >> 61) {
		case 0:
			word[i] = TID_OF + below(scene.threads);
			break;
		case 1:
			word[i] = TID_OF | FUTEX_WAITERS;
			break;
		case 2:
			word[i] = 0;
			break;
		default:
			word[i] = OTHER_TID;
		}
	}
}

static void put_explicit(__u32 at, __u32 word)
{
	struct explicit_word *explicit;

	put_word(image, at, word);
	if (at % 4 == 0 || scene.nr_explicits == EXPLICIT_MAX)
		return;
	explicit = &scene.explicits[scene.nr_explicits++];
	explicit->at = at;
	explicit->word = word;
}

static void fill_list(struct list *list)
{
	__u32 size = width(list), i, swap, with;
	__u64 offset = list->offset;
	__u64 next;

	for (i = 0; i < list->length + list->spare; i++) {
		put_word(image, word_at(list, i), lock_word(list));
		if (i >= list->length)
			put_pointer(list->compat, entry_at(list, i), list->registered);
	}

	for (i = 0; i < list->length; i++)
		order[i] = i;
	if (percent(60)) {
		for (i = list->length; i > 1; i--) {
			with = below(i);
			swap = order[i - 1];
			order[i - 1] = order[with];
			order[with] = swap;
		}
	}
	/* The end with bit 0 set is still the end. */
	next = list->registered | percent(5);
	for (i = list->length; i > 0; i--) {
		put_pointer(list->compat, entry_at(list, order[i - 1]), next);
		next = entry_address(list, order[i - 1]) | pi_bit(list);
	}

	if (percent(6)) {
		offset = wrong_offset(list);
		scene.breaks++;
		/* A TID at the misaligned address that the offset leads to */
		if (offset - list->offset + 3 <= 6 && offset % 4)
			for (i = 0; i < list->length && i < EXPLICIT_MAX / 2; i++)
				put_explicit(word_at(list, i) + offset - list->offset,
					     TID_OF + list->thread);
	}
	put_pointer(list->compat, list->head, next);
	put_pointer(list->compat, list->head + size, offset);
	put_pointer(list->compat, list->head + 2 * size, 0);
}

static void add_pending(struct list *list)
{
	__u64 pending = 0;
	__u32 index;

	switch (below(10)) {
	case 0:
	case 1:
		if (!list->length)
			break;
		index = below(list->length);
		pending = entry_address(list, index) | percent(15);
		break;
	case 2:
	case 3:
		/* Not on the list, at any moment of locking and unlocking */
		index = list->length + below(list->spare);
		pending = entry_address(list, index) | percent(15);
		if (percent(60))
			put_word(image, word_at(list, index), foreign_word(list));
		break;
	case 4:
		pending = wrong_pointer(list);
		break;
	default:
		break;
	}
	put_pointer(list->compat, list->head + 2 * width(list), pending);
}

static void break_list(struct list *list)
{
	__u32 at = percent(15) || !list->length ? list->head :
		      entry_at(list, random_index(list));

	put_pointer(list->compat, at, wrong_pointer(list));
	scene.breaks++;
}

static void add_troubles(void)
{
	__u32 pages = scene.used / page_size + 1, page, i;
	struct trouble *trouble;

	scene.nr_troubles = 0;
	if (!scene.memory->small_pages)
		return;
	if (percent(40))
		scene.nr_troubles = between(1, TROUBLES_MAX - 1);
	for (i = 0; i < (__u32)scene.nr_troubles; i++) {
		trouble = &scene.troubles[i];
		trouble->kind = between(READ_ONLY, UNMAPPED);
		trouble->view = scene.memory->view[HIGH] && percent(40) ? HIGH : LOW;
		trouble->page = below(pages);
		if (page_trouble[trouble->view][trouble->page]) {
			scene.nr_troubles = i;
			break;
		}
		page_trouble[trouble->view][trouble->page] = trouble->kind;
	}
	if (scene.memory->shrinks && percent(8)) {
		trouble = &scene.troubles[scene.nr_troubles++];
		trouble->kind = CUT_OFF;
		trouble->page = below(pages);
		for (page = trouble->page; page < ARENA_SIZE / page_size; page++) {
			page_trouble[LOW][page] = CUT_OFF;
			page_trouble[HIGH][page] = CUT_OFF;
		}
	}
	totals.troubles += scene.nr_troubles;
}

static void add_spots(void)
{
	int wanted = percent(50) ? 0 : between(1, SPOTS_MAX), i;
	const struct list *list;
	struct spot *spot;
	__u64 pending;
	__u32 at;

	scene.nr_spots = 0;
	while (wanted--) {
		list = random_list();
		at = word_at(list, random_index(list));
		if (percent(10))
			at = below(scene.used - 4);
		/* The pending one, more often than others */
		pending = get_pointer(list->compat, image,
				      list->head + 2 * width(list));
		pending = (pending & ~1ULL) - view_address(list->entry_view, 0) -
			  list->entry + list->word;
		if (percent(40) && pending < scene.used - 4)
			at = pending;
		at &= ~3U;
		if (at + 4 > scene.used)
			continue;
		for (i = 0; i < scene.nr_spots; i++)
			if (scene.spots[i].at == at)
				break;
		if (i < scene.nr_spots)
			continue;
		spot = &scene.spots[scene.nr_spots++];
		spot->at = at;
		spot->waiters = between(1, SPOT_WAITERS);
		spot->least = 0;
		spot->most = 0;
		/* Mostly one that the exit wakes: at a lock of the thread */
		if (percent(50))
			put_word(image, at, (TID_OF + list->thread) | FUTEX_WAITERS);
	}
}

static void choose_death(void)
{
	static const enum death deaths[] = {
		THREAD_EXIT, THREAD_EXIT, THREAD_EXIT, THREAD_EXIT, THREAD_EXIT,
		THREAD_EXIT, THREAD_EXIT, THREAD_EXIT, PROCESS_EXIT, PROCESS_EXIT,
		PROCESS_KILLED, PROCESS_KILLED, PROCESS_KILLED, GROUP_EXIT,
		GROUP_KILLED, GROUP_KILLED, GROUP_IN_TURN, GROUP_IN_TURN,
	};
	static const int signals[] = { SIGKILL, SIGKILL, SIGTERM, SIGALRM };

	scene.death = deaths[below(ARRAY_SIZE(deaths))];
	/* It is slow, and so rare */
	if (percent(4))
		scene.death = percent(60) ? PROCESS_EXEC : GROUP_EXEC;
	scene.signal = signals[below(4)];
	scene.threads = scene.death < GROUP_EXIT ? 1 : between(2, THREADS_MAX);
	scene.common = !scene.memory->shared || scene.death == THREAD_EXIT ||
		       percent(40);
}

static void add_list(int thread, bool compat, __u32 room)
{
	struct list *list = &scene.lists[scene.nr_lists++];
	static const __u32 rates[] = { 0, 0, 0, 1, 10, 100, 500, 1000 };

	memset(list, 0, sizeof(*list));
	list->thread = thread;
	list->compat = compat;
	list->pi = percent(70) ? 0 : rates[below(8)];
	list->foreign = rates[below(8)];
	lay_out(list, room);
}

void make_scene(void)
{
	__u32 room, lists, i, breaks;
	int thread;

	seed_random(scene.seed * 0x2545f4914f6cdd1dULL);
	do {
		scene.memory = &memories[below(KINDS)];
	} while (!scene.memory->usable);
	choose_death();
	scene.nr_lists = 0;
	scene.nr_explicits = 0;
	scene.breaks = 0;
	scene.used = percent(50) ? 8 : 8 + 4 * below(2 * page_size / 4);
	memset(page_trouble[LOW], 0, ARENA_SIZE / page_size);
	memset(page_trouble[HIGH], 0, ARENA_SIZE / page_size);

	room = (ARENA_SIZE - LISTS_MAX * 8 * page_size) / LISTS_MAX;
	for (thread = 0; thread < scene.threads; thread++) {
		lists = between(1, 3);
		if (sizeof(long) == 4)
			lists = 2;
		if (!has_compat)
			lists = 1;
		/* Only one list may be long. */
		if (scene.threads == 1 && lists != 3)
			room *= LISTS_MAX;
		if (lists & 1)
			add_list(thread, false, room);
		if (lists & 2)
			add_list(thread, true, room);
	}
	scene.used = round_up(scene.used + 8, 8);
	scene.written = scene.used / page_size * page_size + 2 * page_size;
	if (scene.written > ARENA_SIZE)
		scene.written = ARENA_SIZE;

	fill_gaps();
	memset(image + scene.used, 0, scene.written - scene.used);
	for (i = 0; i < (__u32)scene.nr_lists; i++)
		fill_list(&scene.lists[i]);
	for (i = 0; i < (__u32)scene.nr_lists; i++)
		add_pending(&scene.lists[i]);
	breaks = percent(45) ? 0 : between(1, 4);
	while (breaks--)
		break_list(random_list());
	add_troubles();
	add_spots();
	for (i = 0; i < (__u32)scene.nr_lists; i++)
		if (percent(2))
			scene.lists[i].registered = wrong_pointer(&scene.lists[i]);
}
