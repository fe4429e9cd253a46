/*
 * Refuses UPDATE and DELETE without a WHERE clause, as `safeupdate` does on the hosted platform.
 *
 * The check runs when the server analyzes a statement, so it also covers statements inside
 * functions: those are analyzed when they first run in a session. `ferry` compiles this file
 * against the headers of the installed server; see safeupdate.rs.
 */
#include "postgres.h"

#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "parser/analyze.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

static bool enabled = true;
static post_parse_analyze_hook_type next_hook = NULL;

/* Raises an error when the query, or a query in its WITH clause, changes rows without a WHERE. */
static void
require_where(Query *query)
{
	const char *command = NULL;
	ListCell   *cell;

	foreach(cell, query->cteList)
	{
		Node	   *with_query = ((CommonTableExpr *) lfirst(cell))->ctequery;

		if (IsA(with_query, Query))
			require_where((Query *) with_query);
	}

	if (query->commandType == CMD_UPDATE)
		command = "UPDATE";
	else if (query->commandType == CMD_DELETE)
		command = "DELETE";

	if (command != NULL && query->jointree->quals == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CARDINALITY_VIOLATION),
				 errmsg("%s requires a WHERE clause", command)));
}

static void
after_analysis(ParseState *state, Query *query, JumbleState *jumble)
{
	if (next_hook != NULL)
		next_hook(state, query, jumble);
	if (enabled)
		require_where(query);
}

void
_PG_init(void)
{
	/* Only a superuser may switch it off: a caller of the REST server must not. */
	DefineCustomBoolVariable("safeupdate.enabled",
							 "Refuses UPDATE and DELETE without a WHERE clause.",
							 NULL, &enabled, true, PGC_SUSET, 0, NULL, NULL, NULL);
	next_hook = post_parse_analyze_hook;
	post_parse_analyze_hook = after_analysis;
}
