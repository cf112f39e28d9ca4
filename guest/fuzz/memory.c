// SPDX-License-Identifier: GPL-2.0
/* The kinds of memory that the lists are in, and how each of them is mapped. */
#define _FILE_OFFSET_BITS 64
#define _GNU_SOURCE
#include "fuzz.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

/*
 * Where a cache finds a page by its virtual address, the mappings of a file have equal bits
 * below this, and the kernel refuses others.
 */
#define COLOURS		(4UL << 20)

struct memory memories[KINDS];

/* The low views, one after the other. They contain no multiple of 2^30. */
static uintptr_t next_low = 0x50000000;

/* A free range, with pages before and behind it that cannot be accessed */
static char *reserve(bool low)
{
	size_t size = ARENA_SIZE + COLOURS + HUGE_PAGE * 2;
	uintptr_t start;
	char *range;

	range = mmap(low ? (void *)next_low : NULL, size, PROT_NONE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (range == MAP_FAILED)
		return NULL;
	if (low)
		next_low += 0x1000000;
	if (low && (uintptr_t)range + size > 0xc0000000UL)
		return NULL;

	start = ((uintptr_t)range + HUGE_PAGE) & ~(HUGE_PAGE - 1);
	return (char *)start;
}

static char *map_at(char *place, int flags, int fd)
{
	char *view;

	if (!place)
		return NULL;
	view = mmap(place, ARENA_SIZE, PROT_READ | PROT_WRITE,
		    MAP_FIXED | flags, fd, 0);
	return view == MAP_FAILED ? NULL : view;
}

static bool map_once_more(const struct memory *memory, int shm, char *place)
{
	if (memory->fd >= 0)
		return map_at(place, MAP_SHARED, memory->fd);
	if (shm >= 0)
		return shmat(shm, place, SHM_REMAP) == place;
	/* An old size of 0 asks for one more mapping of shared memory. */
	return mremap(memory->control, 0, ARENA_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
		      place) == place;
}

/* The views of shared memory, of which the control view is mapped where the kernel likes it */
static bool map_views(struct memory *memory, int shm)
{
	char *place;
	int view;

	for (view = 0; view < VIEWS; view++) {
		place = reserve(view == LOW);
		if (!place)
			return false;
		if (!map_once_more(memory, shm, place)) {
			/* The attempt may have freed the range. */
			if (mmap(place, ARENA_SIZE, PROT_NONE, MAP_FIXED | MAP_PRIVATE |
				 MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != place)
				return false;
			place += (memory->control - place) & (COLOURS - 1);
			if (!map_once_more(memory, shm, place))
				return false;
		}
		memory->view[view] = place;
	}
	return true;
}

static bool map_file(struct memory *memory, int fd, size_t huge)
{
	memory->fd = fd;
	if (fd < 0 || ftruncate(fd, ARENA_SIZE))
		return false;
	memory->small_pages = !huge;
	memory->shrinks = !huge && memory->shared;
	if (!memory->shared) {
		memory->view[LOW] = map_at(reserve(true), MAP_PRIVATE, fd);
		memory->control = memory->view[LOW];
		return memory->control;
	}
	memory->control = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return memory->control != MAP_FAILED && map_views(memory, -1);
}

static bool map_anonymous(struct memory *memory)
{
	char *first;

	memory->fd = -1;
	memory->small_pages = true;
	if (!memory->shared) {
		memory->view[LOW] = map_at(reserve(true),
					   MAP_PRIVATE | MAP_ANONYMOUS, -1);
		memory->control = memory->view[LOW];
		return memory->control;
	}

	/* The first mapping has no file yet, and so the address of none. */
	first = mmap(NULL, ARENA_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (first == MAP_FAILED)
		return false;
	memory->control = mremap(first, 0, ARENA_SIZE, MREMAP_MAYMOVE);
	munmap(first, ARENA_SIZE);
	return memory->control != MAP_FAILED && map_views(memory, -1);
}

static bool map_sysv(struct memory *memory)
{
	int id = shmget(IPC_PRIVATE, ARENA_SIZE, IPC_CREAT | 0600);
	bool done;

	memory->fd = -1;
	memory->small_pages = true;
	if (id < 0)
		return false;
	memory->control = shmat(id, NULL, 0);
	done = memory->control != (char *)-1 && map_views(memory, id);
	shmctl(id, IPC_RMID, NULL);
	return done;
}

static int unnamed_file(void)
{
	FILE *file = tmpfile();

	return file ? fileno(file) : -1;
}

void create_memories(void)
{
	static const char * const names[KINDS] = {
		[MEMFD] = "memfd",
		[ANONYMOUS_SHARED] = "shared",
		[ANONYMOUS_PRIVATE] = "private",
		[FILE_SHARED] = "file",
		[FILE_PRIVATE] = "private-file",
		[SYSV_SHARED] = "sysv",
		[HUGE_SHARED] = "hugetlb",
		[HUGE_PRIVATE] = "thp",
	};
	struct memory *memory;
	int kind;

	for (kind = 0; kind < KINDS; kind++) {
		memory = &memories[kind];
		memory->name = names[kind];
		memory->shared = kind != ANONYMOUS_PRIVATE &&
				 kind != FILE_PRIVATE && kind != HUGE_PRIVATE;
		switch (kind) {
		case MEMFD:
			memory->usable = map_file(memory, memfd_create("fuzz", 0), 0);
			break;
		case ANONYMOUS_SHARED:
		case ANONYMOUS_PRIVATE:
			memory->usable = map_anonymous(memory);
			break;
		case FILE_SHARED:
		case FILE_PRIVATE:
			memory->usable = map_file(memory, unnamed_file(), 0);
			break;
		case SYSV_SHARED:
			memory->usable = map_sysv(memory);
			break;
		case HUGE_SHARED:
			memory->usable = map_file(memory,
						  memfd_create("fuzz", MFD_HUGETLB),
						  HUGE_PAGE);
			/* A mapping without pages would kill this process. */
			if (memory->usable &&
			    madvise(memory->control, ARENA_SIZE,
				    23 /* MADV_POPULATE_WRITE */))
				memory->usable = false;
			break;
		case HUGE_PRIVATE:
			memory->usable = map_anonymous(memory) &&
					 !madvise(memory->control, ARENA_SIZE,
						  MADV_HUGEPAGE);
			break;
		}
	}
}

bool map_again(struct memory *memory, enum view view, size_t at, size_t size)
{
	char *place = memory->view[view] + at;

	if (memory->shared)
		return mremap(memory->control + at, 0, size,
			      MREMAP_MAYMOVE | MREMAP_FIXED, place) == place;
	return mmap(place, size, PROT_READ | PROT_WRITE,
		    MAP_FIXED | MAP_PRIVATE | (memory->fd < 0 ? MAP_ANONYMOUS : 0),
		    memory->fd, memory->fd < 0 ? 0 : at) == place;
}

__u32 get_word(const char *from, __u32 at)
{
	__u32 word;

	memcpy(&word, from + at, sizeof(word));
	return word;
}

void put_word(char *to, __u32 at, __u32 word)
{
	memcpy(to + at, &word, sizeof(word));
}

void put_pointer(bool compat, __u32 at, __u64 pointer)
{
	__u32 short_pointer = pointer;

	if (compat)
		memcpy(image + at, &short_pointer, sizeof(short_pointer));
	else
		memcpy(image + at, &pointer, sizeof(pointer));
}

__u64 get_pointer(bool compat, const char *from, __u32 at)
{
	__u64 pointer;

	if (compat)
		return get_word(from, at);
	memcpy(&pointer, from + at, sizeof(pointer));
	return pointer;
}
