-- What runs by itself, and that it fails aloud when a secret is missing.
begin;
\ir support/accounts.psql
select plan(21);

-- In this transaction the Vault holds nothing of ours; rolled back, it does again.
delete from vault.secrets where name in ('project_url', 'service_api_key');
select coalesce(max(id), 0) as last_request from net.http_request_queue \gset

select results_eq(
    $$ select concat_ws(' | ', jobname, schedule, command, active) collate "default" from cron.job
       where jobname in ('collect-dex', 'purge-cron-history') order by jobname $$,
    array[
        'collect-dex | */5 * * * * | select private.collect_dex_tick() | t',
        'purge-cron-history | 17 3 * * * | select private.purge_history() | t'
    ],
    'the collector runs every 5 minutes, the purge every night'
);
select cron.schedule('collect-dex', '*/5 * * * *', 'select private.collect_dex_tick()');
select is(
    (select count(*) from cron.job where jobname = 'collect-dex'), 1::bigint, 'scheduling again makes no second job'
);

-- The guard

select throws_ok(
    $$ select private.call_function('collect-dex') $$, 'P0001', 'the Vault secret "project_url" is missing or empty', 'without a URL the job fails'
);
select throws_ok(
    'select private.collect_dex_tick()', 'P0001', 'the Vault secret "project_url" is missing or empty', 'and cron hears of it'
);
select vault.create_secret('http://127.0.0.1:54321/', 'project_url') is not null as made \gset
select throws_ok(
    $$ select private.call_function('collect-dex') $$, 'P0001', 'the Vault secret "service_api_key" is missing or empty', 'nor without a key'
);
select vault.create_secret('', 'service_api_key') is not null as made \gset
select throws_ok(
    $$ select private.call_function('collect-dex') $$, 'P0001', 'the Vault secret "service_api_key" is missing or empty', 'nor with an empty one'
);
select vault.update_secret(id, E' \n') from vault.secrets where name = 'service_api_key';
select throws_ok(
    $$ select private.call_function('collect-dex') $$, 'P0001', 'the Vault secret "service_api_key" is missing or empty', 'nor with a blank one'
);
select is(
    (select count(*) from net.http_request_queue where id > :last_request), 0::bigint, 'and nothing was sent without its key'
);

-- The call

select vault.update_secret(id, E'a-key\n') from vault.secrets where name = 'service_api_key';
select private.call_function('collect-dex', '{"triggered_by": "cron"}') as request \gset
select results_eq(
    format('select method::text, url, timeout_milliseconds from net.http_request_queue where id = %s', :request),
    $$ values ('POST', 'http://127.0.0.1:54321/functions/v1/collect-dex', 10000) $$, 'a function is called by its name, with a time limit'
);
select results_eq(
    format('select headers ->> ''X-Service-Key'', headers ->> ''Content-Type'' from net.http_request_queue where id = %s', :request),
    $$ values ('a-key', 'application/json') $$, 'the key really travels with it, without the line break it was pasted with'
);
select results_eq(
    format('select convert_from(body, ''utf8'')::jsonb from net.http_request_queue where id = %s', :request),
    $$ values ('{"triggered_by": "cron"}'::jsonb) $$, 'and so does the body'
);
select results_eq(
    format('select convert_from(body, ''utf8'')::jsonb from net.http_request_queue where id = %s', private.call_function('other')),
    $$ values ('{}'::jsonb) $$, 'which is empty unless given'
);

-- The tick

select tests.only_ours_are_due();
select is(private.collect_dex_tick(), 1, 'a tick calls once when nothing is due: the ledger shows that it came');
insert into public.companies (company_name) select 'crowd ' || number from generate_series(1, 250) as number;
select is(private.collect_dex_tick(), 1, 'and once for 250 companies');
insert into public.companies (company_name) values ('one more');
select is(private.collect_dex_tick(), 2, 'and twice for 251');
update public.collection_state set lease_run_id = null, leased_until = now() + interval '1 minute'
where company_id = (select id from public.companies where company_name = 'one more');
select is(private.collect_dex_tick(), 1, 'not counting those that are being collected');
insert into public.companies (company_name) select 'crowd ' || number from generate_series(251, 3000) as number;
select is(private.collect_dex_tick(), 8, 'but never more than 8 times');

-- The purge

insert into cron.job_run_details (jobid, runid, database, username, command, status, start_time, end_time)
select 1, -number, 'postgres', 'postgres', 'select 1', 'succeeded', begun, begun
from (values (3, now() - interval '9 days'), (2, null), (1, now() - interval '6 days')) as past (number, begun);
select private.purge_history();
select results_eq(
    'select runid from cron.job_run_details where runid < 0', array[-2, -1]::bigint[], 'calls of more than 7 days ago are forgotten'
);
update cron.job_run_details set start_time = now() - interval '8 days' where runid = -1;
select private.purge_history();
select is_empty(
    'select runid from cron.job_run_details where runid < 0', 'and so are those before them that never began'
);

-- Users

select tests.create_user('stranger');
select tests.authenticate_as('stranger');
select throws_ok($$ select private.vault_secret('service_api_key') $$, '42501', null, 'a user reads no secrets');
select throws_ok($$ select private.call_function('collect-dex') $$, '42501', null, 'and sets off no calls');

select tests.clear();
select * from finish();
rollback;
