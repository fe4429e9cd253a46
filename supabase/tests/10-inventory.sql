-- What holds for all there is, whatever it is called: deny first, then grant; say what it is.
begin;
\ir support/accounts.psql
select plan(21);

-- Ours: in `public` and `private`, and not an extension's.
create temporary view our_relations as
select class.oid, class.relname, class.relkind, class.relrowsecurity, class.relacl, class.reloptions
from pg_class as class
where class.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
  and class.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
  and not exists (select from pg_depend where objid = class.oid and deptype = 'e');

create temporary view our_functions as
select proc.oid, proc.oid::regprocedure::text as name, proc.prosecdef, proc.proconfig, proc.pronamespace
from pg_proc as proc
where proc.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
  and not exists (select from pg_depend where objid = proc.oid and deptype = 'e');

create temporary view our_columns as
select relation.relname, relation.relkind, attribute.attname, attribute.attnum, attribute.attacl, relation.oid
from our_relations as relation
join pg_attribute as attribute on attribute.attrelid = relation.oid
where relation.relkind <> 'S' and attribute.attnum > 0 and not attribute.attisdropped;

-- Tables and views

select is_empty(
    $$ select relname from our_relations where relkind in ('r', 'p') and not relrowsecurity $$,
    'every table has row level security'
);
select is_empty(
    $$ select relname, privilege.privilege_type
       from our_relations cross join aclexplode(relacl) as privilege
       where privilege.grantee in (0, 'anon'::regrole) $$,
    'nobody without a login may do anything to a table, view or sequence'
);
select is_empty(
    $$ select relname, privilege.grantee::regrole, privilege.privilege_type
       from our_relations cross join aclexplode(relacl) as privilege
       where relkind = 'S' and privilege.grantee <> 'postgres'::regrole $$,
    'only the owner may use a sequence'
);
select is_empty(
    $$ select relname, attname from our_columns cross join aclexplode(attacl) as privilege
       where privilege.grantee in (0, 'anon'::regrole) $$,
    'nor to a column'
);
select is_empty(
    $$ select relname, privilege.privilege_type
       from our_relations cross join aclexplode(relacl) as privilege
       where privilege.grantee = 'authenticated'::regrole and privilege.privilege_type <> 'SELECT'
         -- A row cannot be removed by columns.
         and (relname, privilege.privilege_type) <> ('webhook_configs', 'DELETE') $$,
    'users change single columns, never whole tables; the only rows that they remove are their webhooks'
);
select is_empty(
    $$ select relname from our_relations where relkind = 'v' and not coalesce(reloptions, '{}') @> array['security_invoker=true'] $$,
    'a view shows what the caller may see'
);
select is_empty(
    $$ select relname from our_relations where relkind <> 'S' and obj_description(oid, 'pg_class') is null $$,
    'every table and view says what it is'
);
select is_empty(
    $$ select relname, attname from our_columns where col_description(oid, attnum) is null $$,
    'and so does every column'
);
select is_empty(
    $$ select relname from our_relations
       where relkind in ('r', 'p') and (
           select count(*) from our_columns as stamp
           where stamp.oid = our_relations.oid and stamp.attname in ('created_at', 'updated_at')
       ) <> 2 $$,
    'every table knows when a row was made and changed'
);
select is_empty(
    $$ select relname from our_relations
       where relkind in ('r', 'p') and not exists (
           select from pg_trigger
           where tgrelid = our_relations.oid and tgfoid = 'private.touch_updated_at()'::regprocedure
       ) $$,
    'and keeps that true'
);
select is_empty(
    $$ select conrelid::regclass, conname from pg_constraint as foreign_key
       where contype = 'f' and conrelid in (select oid from our_relations) and not exists (
           select from pg_index
           where indrelid = foreign_key.conrelid and indkey[0] = any (foreign_key.conkey)
             and (indpred is null or pg_get_expr(indpred, indrelid) ~ 'IS NOT NULL')
       ) $$,
    'every foreign key has an index'
);
select is_empty(
    $$ select tablename, policyname, roles from pg_policies
       where schemaname = 'public' and roles <> array['authenticated'::name] $$,
    'every policy names its role'
);
select is_empty(
    $$ select tablename, policyname from pg_policies
       where schemaname = 'public'
         and regexp_replace(coalesce(qual, '') || coalesce(with_check, ''), 'SELECT (auth|private)\.', '', 'g') ~ '(auth|private)\.' $$,
    'no policy calls a function for each row'
);

-- Functions

select is_empty(
    $$ select name from our_functions where not coalesce(proconfig, '{}') @> array['search_path=""'] $$,
    'every function has a fixed, empty search path'
);
select is_empty(
    $$ select name from our_functions where obj_description(oid, 'pg_proc') is null $$,
    'every function says what it does'
);
-- Whatever the collation of this database is: on the platform it is ICU's.
select ok('٥' collate "und-x-icu" ~ '\d', 'a digit of any script may match \d');
select is_empty(
    $$ select our.name from our_functions as our join pg_proc as proc using (oid) where proc.prosrc ~ '\\d' $$,
    'no function takes such a digit for one that can be cast to a number'
);
select is_empty(
    $$ select name from our_functions where has_function_privilege('anon', oid, 'execute') $$,
    'no function can be called without a login'
);
select set_eq(
    $$ select name from our_functions where has_function_privilege('authenticated', oid, 'execute') $$,
    array[
        'private.my_companies()', 'private.my_managed_companies()', 'private.is_member(uuid)',
        'my_company_id()', 'my_managed_company_id()', 'dex_last_4hrs(machines)', 'private.company_timezone(jsonb)',
        'dex_sales_by_day(date,date,uuid,uuid)', 'dex_sales_by_machine(date,date,uuid)', 'dex_sales_by_product(date,date,uuid,uuid)',
        'dex_events_acknowledge(bigint[])', 'machine_cash_collected(uuid,bigint,timestamp with time zone)',
        'private.my_workspaces()', 'private.my_managed_workspaces()', 'private.my_projects()', 'private.my_managed_projects()',
        'workspace_create(text)', 'workspace_member_set(uuid,uuid,text)', 'workspace_member_remove(uuid,uuid)',
        'project_create(text,text,uuid)', 'project_member_set(uuid,uuid,text)', 'project_member_remove(uuid,uuid)'
    ],
    'users call these functions and no other'
);
select set_eq(
    $$ select name from our_functions where has_function_privilege('service_role', oid, 'execute') $$,
    array[
        'collect_dex_claim(uuid,text,integer,integer)', 'collect_dex_claim_one(uuid,text,uuid,integer)',
        'collect_dex_finish(uuid,uuid,boolean,integer,text,timestamp with time zone,text)', 'collect_dex_release(uuid,uuid[])',
        'collect_dex_end(uuid,text,jsonb,text)', 'collect_dex_unseen(uuid,bigint[])', 'collect_dex_store(uuid,json)',
        'collect_credentials_save(uuid,text,text,text,text,uuid)',
        'dex_last_4hrs(machines)', 'collect_dex_around(uuid,json)', 'private.company_timezone(jsonb)',
        'dex_sales_by_day(date,date,uuid,uuid)', 'dex_sales_by_machine(date,date,uuid)', 'dex_sales_by_product(date,date,uuid,uuid)',
        'dex_events_acknowledge(bigint[])', 'machine_cash_collected(uuid,bigint,timestamp with time zone)',
        'token_store(json,text,text)', 'token_get(text,text,text)', 'token_list(text,integer,boolean,text,integer)',
        'sealed_batch(text,text,text,integer)', 'sealed_store(text,json)',
        'token_status()', 'token_cleanup(text,text)', 'token_sync_begin(text,text)', 'token_sync_stage(uuid,json)', 'token_sync_seal(uuid,json)',
        'token_sync_finish(uuid)', 'token_sync_fail(uuid,text)', 'token_sync_compare(text[],text[])',
        'token_renew_claim(integer,integer,text)', 'token_renew_store(text,json,text,text)',
        'token_renew_written(text[],text)', 'token_renew_fail(text,text,text,text)',
        'token_renew_pause(integer,text,text[])', 'token_rotate_batch(text,text,integer)', 'token_rotate_store(json,text,text)',
        'receive_webhook_record(uuid,jsonb,jsonb,text,text,text,timestamp with time zone,timestamp with time zone)',
        'receive_webhook_next(uuid,uuid,integer,boolean,integer)', 'receive_webhook_yield(uuid,uuid)',
        'receive_webhook_finish(uuid,uuid,text,jsonb,jsonb)', 'receive_webhook_later(uuid,uuid,integer,text,boolean)',
        'receive_webhook_place(uuid,uuid,text,boolean,jsonb,jsonb,jsonb,text)', 'receive_webhook_settle(uuid,jsonb)',
        'receive_webhook_open_orders(integer,integer)', 'receive_webhook_waiting(integer)',
        'notifications_claim(text,integer,integer,uuid)', 'notifications_finish(bigint,text,boolean)',
        'health_report(integer)',
        'cache_pending_report(uuid,integer,integer,integer,text)', 'cache_load(text,text)', 'cache_delete(text,text)', 'cache_warm(integer)', 'cache_status(text)',
        'cache_save(text,text,jsonb,text,timestamp with time zone,timestamp with time zone,timestamp with time zone,'
            || 'integer,jsonb,integer,boolean,uuid,integer)',
        'cache_claim(integer,integer,text,text,integer)', 'cache_fail(uuid,text,integer)',
        'cache_credentials(text,text,text,timestamp with time zone,timestamp with time zone)',
        'cache_rotation_begin(uuid)', 'cache_rotation_fail(uuid)', 'cache_needs_login(text,text,text,text)',
        'cache_source_save(text,text,text,text,jsonb,jsonb,boolean,integer,integer,text)',
        'cache_admit(text,integer,text,text,integer)', 'cache_record(jsonb)', 'cache_report(text,integer)',
        'cache_key_issue(text,text,text,boolean,integer)', 'cache_key_revoke(text,text)'
    ],
    'functions with a service key call these and no other'
);

select ok(not has_schema_privilege('anon', 'private', 'usage'), 'schema private is closed to those without a login');

select * from finish();
rollback;
