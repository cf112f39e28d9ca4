/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Writers of a database that are killed in the middle of their transactions:
 * what the programs of clients/ have in common. Each one describes its
 * database in a `struct store`.
 *
 * A transaction of a writer puts some records, with contents that follow from
 * their keys, and counts one up in a record that all writers share. The writer
 * keeps a log in shared memory, which outlives it: of each transaction, that it
 * is about to begin, and after the commit, that it is done. In every pause of
 * the crowd all are read back.
 *
 * The tests, with the name of the database in front:
 *
 *   writers_go_on	Whichever writer is killed, the next one gets the lock
 *			and ends its transaction within the time limit.
 *   writers_died	Writers were killed in mid-transaction: else nothing was
 *			tested.
 *   committed_records_read_back	All that was logged as done is there.
 *   transactions_are_whole	Of what was begun all is there or nothing, and the
 *			shared record counts neither more nor less than is there.
 *   database_is_clean	The database finds nothing wrong with itself.
 */
#ifndef RECORDS_H
#define RECORDS_H

#include <stdint.h>

#include "crowd.h"

#define WRITERS		8
#define VALUE_MAX	200

#define RECORD_TESTS(database) {					\
	database ".writers_go_on",					\
	database ".writers_died",					\
	database ".committed_records_read_back",			\
	database ".transactions_are_whole",				\
	database ".database_is_clean",					\
}

/* The key of a record. The shared one is all zero: writers count from one. */
struct key {
	uint32_t writer, number, record;
};

/* A database. All functions return NULL, or what went wrong. */
struct store {
	/* RECORD_TESTS with the name of the database */
	const char *tests[TESTS_MAX + 1];
	/* In the root: make the database. NULL, or why it cannot be. */
	const char *(*create)(void);
	/* In the root, when all is over. */
	void (*remove_files)(void);
	const char *(*open)(void);
	const char *(*begin)(int writing);
	/* The length is -1 where there is no such record. */
	const char *(*get)(const struct key *key, unsigned char *value, int *length);
	const char *(*put)(const struct key *key, const unsigned char *value, int length);
	/* That there is none is no error. */
	const char *(*remove)(const struct key *key);
	const char *(*commit)(void);
	void (*end_reading)(void);
	/* Look at a record for a while, with nothing but its own lock, or NULL. */
	const char *(*hold)(const struct key *key);
	/* All of the database, outside of any transaction. */
	const char *(*examine)(void);
};

/* What a record must hold, at most VALUE_MAX bytes that only its key decides: their number */
int make_value(const struct key *key, unsigned char *value);

/* Let other writers run, or be killed, at this point. */
void linger(void);

/* The whole program: its exit status */
int records_main(const struct store *used, int argc, char **argv);

#endif /* RECORDS_H */
