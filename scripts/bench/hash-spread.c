// SPDX-License-Identifier: GPL-2.0
/*
 * How evenly futex_hash() spreads futexes over the buckets: the function of this
 * kernel and that of the base, for keys as programs make them.
 *
 * Built and run by scripts/hash-spread, which takes the function from the kernel's
 * source. Chi-square is divided by the degrees of freedom: chance gives 1, an even
 * spread less, and a clustered one more.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/hash.h>
#include <linux/jhash.h>

#define PAGE_SIZE	4096UL
#define FUT_OFF_INODE	1
#define FUT_OFF_MMSHARED 2

union futex_key {
	struct {
		u64 ptr;
		unsigned long word;
		unsigned int offset;
	} both;
};

#include "futex_hash_page.h"

static unsigned int hash_here(const union futex_key *key, unsigned int bits)
{
	return __hash_32(futex_hash_page(key) + key->both.offset) >> (32 - bits);
}

static unsigned int hash_base(const union futex_key *key, unsigned int bits)
{
	u32 hash = jhash2((const u32 *)key, offsetof(union futex_key, both.offset) / 4,
			  key->both.offset);

	return hash & ((1U << bits) - 1);
}

/* Shared memory: inodes are numbered, and the word is the index of the page. */
static union futex_key shared_key(u64 inode, unsigned long position)
{
	return (union futex_key) { .both = {
		.ptr = inode,
		.word = position / PAGE_SIZE,
		.offset = position % PAGE_SIZE | FUT_OFF_INODE,
	} };
}

/* Private futexes: the address of the mm, and that of the page */
static union futex_key private_key(u64 mm, unsigned long address)
{
	return (union futex_key) { .both = {
		.ptr = mm,
		.word = address / PAGE_SIZE * PAGE_SIZE,
		.offset = address % PAGE_SIZE,
	} };
}

static union futex_key mutexes(unsigned long i)
{
	return shared_key(4711, i * 40);
}

static union futex_key word_a_page(unsigned long i)
{
	return shared_key(4711, i * PAGE_SIZE + 64);
}

static union futex_key word_a_line(unsigned long i)
{
	return shared_key(4711, i * 64);
}

static union futex_key words(unsigned long i)
{
	return shared_key(4711, i * 4);
}

static union futex_key heap_mutexes(unsigned long i)
{
	return private_key(0xffff888004a31c80, 0x55d0c0a2e2a0 + i * 40);
}

/* One in each thread's stack, at a distance of 8 MiB and a guard page */
static union futex_key stacks(unsigned long i)
{
	return private_key(0xffff888004a31c80, 0x7f3a5b7ff9d0 - i * (0x801000));
}

/*
 * Processes that do the same: one lock each at the same address. Their struct mm lie
 * in slabs.
 */
static union futex_key processes(unsigned long i)
{
	return private_key(0xffff888004a00000 + i / 25 * 0x8000 + i % 25 * 0x4c0,
			   0x55d0c0a2e2a0);
}

/* The same in a file of its own for each */
static union futex_key files(unsigned long i)
{
	return shared_key(100000 + i, 128);
}

/* Four locks in each of many files */
static union futex_key small_files(unsigned long i)
{
	return shared_key(100000 + i / 4, i % 4 * 40);
}

static const struct {
	const char *name;
	union futex_key (*key)(unsigned long i);
} patterns[] = {
	{ "mutexes of 40 bytes", mutexes },
	{ "one word a page", word_a_page },
	{ "one word a cache line", word_a_line },
	{ "words in a row", words },
	{ "private mutexes of 40 bytes", heap_mutexes },
	{ "one in each thread's stack", stacks },
	{ "processes, same address", processes },
	{ "files, same offset", files },
	{ "files, four mutexes each", small_files },
};

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static void show(const char *name, union futex_key (*key)(unsigned long), unsigned long nr,
		 unsigned int bits)
{
	static unsigned int (*const hashes[])(const union futex_key *, unsigned int) = {
		hash_base, hash_here,
	};
	unsigned long size = 1UL << bits, i;
	unsigned int *chains = malloc(size * sizeof(*chains));
	int which;

	if (!chains) {
		fprintf(stderr, "hash-spread: out of memory\n");
		exit(1);
	}
	printf("%-28s %6lu %6lu", name, nr, size);
	for (which = 0; which < 2; which++) {
		unsigned long hit = 0, longest = 0;
		double expected = (double)nr / size, chi = 0;

		memset(chains, 0, size * sizeof(*chains));
		for (i = 0; i < nr; i++) {
			union futex_key one = key(i);

			chains[hashes[which](&one, bits)]++;
		}
		for (i = 0; i < size; i++) {
			hit += !!chains[i];
			if (chains[i] > longest)
				longest = chains[i];
			chi += (chains[i] - expected) * (chains[i] - expected) / expected;
		}
		printf("  %6lu %4lu %6.2f", hit, longest, chi / (size - 1));
	}
	printf("\n");
	free(chains);
}

int main(void)
{
	static const unsigned int bits[] = { 8, 9, 10, 12, 14 };
	int i, j;

	printf("%-28s %6s %6s  %-18s  %-18s\n", "", "", "", "base", "here");
	printf("%-28s %6s %6s  %6s %4s %6s  %6s %4s %6s\n", "keys", "number", "size",
	       "hit", "max", "chi2", "hit", "max", "chi2");
	for (i = 0; i < COUNT(patterns); i++)
		for (j = 0; j < COUNT(bits); j++)
			show(patterns[i].name, patterns[i].key, 10000, bits[j]);
	return 0;
}
