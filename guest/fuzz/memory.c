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

struct memory memories[KINDS];

/* The low views, one after the other. They contain no multiple of 2^30. */
static uintptr_t next_low = 0x50000000;

/* A free range, with pages before and behind it that cannot be accessed */
static char *reserve(bool low)
{
	size_t size = ARENA_SIZE + HUGE_PAGE * 2;
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

static bool map_file(struct memory *memory, int fd, size_t huge)
{
	int flags = memory->shared ? MAP_SHARED : MAP_PRIVATE;

	memory->fd = fd;
	if (fd < 0 || ftruncate(fd, ARENA_SIZE))
		return false;
	memory->small_pages = !huge;
	memory->shrinks = !huge && memory->shared;
	memory->view[LOW] = map_at(reserve(true), flags, fd);
	memory->control = memory->view[LOW];
	if (memory->shared) {
		memory->view[HIGH] = map_at(reserve(false), flags, fd);
		memory->control = map_at(reserve(false), flags, fd);
		return memory->view[LOW] && memory->view[HIGH] && memory->control;
	}
	return memory->view[LOW];
}

static bool map_anonymous(struct memory *memory)
{
	char *place;
	int view;

	memory->fd = -1;
	memory->small_pages = true;
	if (!memory->shared) {
		memory->view[LOW] = map_at(reserve(true),
					   MAP_PRIVATE | MAP_ANONYMOUS, -1);
		memory->control = memory->view[LOW];
		return memory->control;
	}

	memory->control = map_at(reserve(false), MAP_SHARED | MAP_ANONYMOUS, -1);
	if (!memory->control)
		return false;
	for (view = 0; view < VIEWS; view++) {
		place = reserve(view == LOW);
		if (!place)
			return false;
		/* An old size of 0 asks for one more mapping of shared memory. */
		memory->view[view] = mremap(memory->control, 0, ARENA_SIZE,
					    MREMAP_MAYMOVE | MREMAP_FIXED, place);
		if (memory->view[view] == MAP_FAILED)
			return false;
	}
	return true;
}

static bool map_sysv(struct memory *memory)
{
	int id = shmget(IPC_PRIVATE, ARENA_SIZE, IPC_CREAT | 0600);
	bool done = true;
	char *place;
	int view;

	memory->fd = -1;
	memory->small_pages = true;
	if (id < 0)
		return false;
	memory->control = shmat(id, NULL, 0);
	done = memory->control != (char *)-1;
	for (view = 0; done && view < VIEWS; view++) {
		place = reserve(view == LOW);
		memory->view[view] = place ? shmat(id, place, SHM_REMAP) :
					     (char *)-1;
		done = memory->view[view] != (char *)-1;
	}
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
