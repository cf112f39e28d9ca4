// SPDX-License-Identifier: GPL-2.0
/* Print a death, with the instruction and its function. */
#define _GNU_SOURCE
#include "step.h"

#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* For this machine. */
typedef ElfW(Ehdr) elf_header;
typedef ElfW(Shdr) elf_section;
typedef ElfW(Sym) elf_symbol;

/* The text for an address: with the function, if the program has symbols. */
static void name_address(unsigned long address, char *text, size_t size)
{
	static char *file;
	elf_header *header;
	elf_section *sections;
	elf_symbol *symbol, *end;
	struct stat stat;
	int fd, i;

	snprintf(text, size, "%#lx", address);
	if (!file) {
		fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &stat))
			bail_out("cannot read the file of this program");
		file = mmap(NULL, stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (file == MAP_FAILED)
			bail_out("cannot map the file of this program");
		close(fd);
	}
	header = (void *)file;
	sections = (void *)(file + header->e_shoff);
	for (i = 0; i < header->e_shnum; i++) {
		if (sections[i].sh_type != SHT_SYMTAB)
			continue;
		symbol = (void *)(file + sections[i].sh_offset);
		end = symbol + sections[i].sh_size / sizeof(*symbol);
		for (; symbol < end; symbol++) {
			if (address - symbol->st_value < symbol->st_size)
				snprintf(text, size, "%s+%#lx", file +
					 sections[sections[i].sh_link].sh_offset +
					 symbol->st_name, address - (long)symbol->st_value);
		}
	}
}

void show(const struct scenario *scenario, const struct moment *moment, const char *what)
{
	const unsigned char *code = (const unsigned char *)moment->instruction;
	char place[128];
	int i;

	printf("# %s: killed after %ld instructions, ", scenario->name, moment->n);
	if (code) {
		/* The victim is a fork: its code is at the same addresses here. */
		name_address(moment->instruction, place, sizeof(place));
		printf("next is %s:", place);
		for (i = 0; i < 8; i++)
			printf(" %02x", code[i]);
	} else {
		printf("asleep in a system call");
	}
	printf("\n#   %s\n", what);
	printf("#   at its death: word %08x, %d asleep, TID %08x, %spending, %son the list\n",
	       moment->word, moment->sleepers, moment->tid,
	       moment->pending ? "" : "not ", moment->listed ? "" : "not ");
	printf("#   now: word %08x, %d asleep; the kernel had to %s\n", *lock_word(), sleepers(),
	       moment->must_mark ?
	       moment->must_wake ? "mark and wake" : "mark" :
	       moment->must_wake ? "wake" : "do nothing");
}

/* Holes are ranges of instructions, of which the first is shown in full. */
void end_row(const struct scenario *scenario, const struct tally *tally)
{
	char place[128];

	if (!tally->hole_instruction)
		return;
	name_address(tally->hole_instruction, place, sizeof(place));
	printf("# %s: and so on, up to %ld instructions, where %s is next\n", scenario->name,
	       tally->hole_end, place);
}

void add_hole(const struct scenario *scenario, const struct moment *moment, const char *waiter,
	      struct tally *tally)
{
	char text[128];

	if (!tally->holes || moment->n > tally->hole_end + stride) {
		end_row(scenario, tally);
		tally->hole_instruction = 0;
		snprintf(text, sizeof(text), "a hole in " LIBRARY ": %s never gets the lock",
			 waiter);
		show(scenario, moment, text);
	} else {
		tally->hole_instruction = moment->instruction;
	}
	tally->hole_end = moment->n;
	tally->holes++;
}
