/* SPDX-License-Identifier: Apache-2.0
 * What an SQLSTATE asks of the one who sent the statement. Pure. */
#ifndef TB_PG_ERROR_H
#define TB_PG_ERROR_H

enum pg_error {
	/* Chance: nothing was committed, the same again may well succeed at once. */
	PG_ERROR_AGAIN,
	/* The database's condition, whatever was sent: it passes, or a person ends it. A
	 * state that is not known is taken for one, so that nothing ends for it. */
	PG_ERROR_WEATHER,
	/* Another transaction holds what one of the rows needs. */
	PG_ERROR_LOCK,
	/* One of the rows is what the database refuses, and will be. */
	PG_ERROR_ROW
};

/* sqlstate: five characters, or "" when there was none. */
enum pg_error pg_error_kind(const char *sqlstate);

#endif
