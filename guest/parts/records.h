/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Writers of a database that are killed in the middle of their transactions: the
 * common part of the programs of clients/. Each one describes its database in a
 * `struct store`.
 *
 * A transaction of a writer puts some records, with contents that follow from
 * their keys, and increments a record that all writers share. The writer keeps a log
 * in shared memory, which remains after its death: each transaction is logged before
 * it begins, and after its commit. In every pause of the crowd all are read back.
 *
 * The tests, prefixed with the name of the database:
 *
 *   no_hang	Whichever writer is killed, the next one gets the lock
 *			and ends its transaction within the time limit.
 *   writers_died	Writers were killed during transactions: else nothing was
 *			tested.
 *   committed_read_back	All that was logged as done exists.
 *   transactions_atomic	A transaction exists completely or not at all, and the
 *			shared record has their number.
 *   database_consistent	The check of the database itself finds no error.
 */
#ifndef RECORDS_H
#define RECORDS_H

#include <stdint.h>

#include "crowd.h"

#define WRITERS		8
#define VALUE_MAX	200

#define RECORD_TESTS(database) {					\
	database ".no_hang",					\
	database ".writers_died",					\
	database ".committed_read_back",			\
	database ".transactions_atomic",				\
	database ".database_consistent",					\
}

/* The key of a record. The shared one is all zero: writers count from one. */
struct key {
	uint32_t writer, number, record;
};

/* A database. All functions return NULL, or the error. */
struct store {
	/* RECORD_TESTS with the name of the database */
	const char *tests[TESTS_MAX + 1];
	/* In the root: create the database. NULL, or why it failed. */
	const char *(*create)(void);
	/* In the root, at the end. */
	void (*remove_files)(void);
	const char *(*open)(void);
	const char *(*begin)(int writing);
	/* The length is -1 where there is no such record. */
	const char *(*get)(const struct key *key, unsigned char *value, int *length);
	const char *(*put)(const struct key *key, const unsigned char *value, int length);
	/* It need not exist. */
	const char *(*remove)(const struct key *key);
	const char *(*commit)(void);
	void (*end_reading)(void);
	/* Read a record for a while, holding only its own lock, or NULL. */
	const char *(*hold)(const struct key *key);
	/* All of the database, outside of any transaction. */
	const char *(*examine)(void);
};

/* The contents of a record, at most VALUE_MAX bytes, which depend on its key alone: their number */
int make_value(const struct key *key, unsigned char *value);

/* Let other writers run, or be killed, at this point. */
void linger(void);

/* The whole program: its exit status */
int records_main(const struct store *used, int argc, char **argv);

#endif /* RECORDS_H */
