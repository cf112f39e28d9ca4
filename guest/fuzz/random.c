// SPDX-License-Identifier: GPL-2.0
#include "fuzz.h"

/* Random numbers: the state is a counter, so equal seeds give equal numbers. */
static __u64 random_state;

void seed_random(__u64 seed)
{
	random_state = seed;
	random_bits();
}

__u64 random_bits(void)
{
	__u64 mixed = random_state += 0x9e3779b97f4a7c15ULL;

	mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9ULL;
	mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebULL;
	return mixed ^ (mixed >> 31);
}

__u32 below(__u32 end)
{
	return end ? (random_bits() >> 32) * end >> 32 : 0;
}

__u32 between(__u32 first, __u32 last)
{
	return first + below(last - first + 1);
}

bool percent(__u32 chance)
{
	return below(100) < chance;
}
