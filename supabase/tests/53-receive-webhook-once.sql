-- An alert is stored once, within its rate, and acted on by one at a time.
begin;
\ir support/accounts.psql
\ir support/trading.psql
select plan(40);

select tests.create_user('anna');
select tests.create_webhook('anna', 'trend', 'rate_limit_per_minute = 4');
select tests.create_webhook('anna', 'other');
select tests.create_webhook('anna', 'off', 'is_active = false');

-- Stored once

select is(tests.record('trend', 'a', 'id:1') ->> 'outcome', 'accepted', 'an alert is accepted');
select is(tests.record('trend', 'a', 'id:1') ->> 'outcome', 'duplicate', 'and is a duplicate the second time');
select is(tests.record('trend', 'b', 'id:1') ->> 'outcome', 'duplicate', 'whatever it says by then');
select is(tests.record('other', 'a', 'id:1') ->> 'outcome', 'accepted', 'another webhook has its own');
select is(tests.record('trend', 'c') ->> 'outcome', 'accepted', 'without an id it is known by its content');
select is(tests.record('trend', 'c') ->> 'outcome', 'duplicate', 'for a minute');
update public.webhook_signals set received_at = received_at - interval '61 seconds' where content_hash = 'c';
select is(tests.record('trend', 'c') ->> 'outcome', 'accepted', 'and then it is a new one');
select is(tests.record('off', 'a') ->> 'outcome', 'inactive', 'an inactive webhook takes nothing');
select is(public.receive_webhook_record(gen_random_uuid(), '{}', '{}', 'x') ->> 'outcome', 'inactive', 'nor does one that is not there');

-- Sent again, because nobody answered

select is((tests.record('trend', 'a', 'id:1') ->> 'is_busy')::boolean, false, 'nobody is at the first one: it is left to who sent it again');
update public.webhook_signals set next_attempt_at = now() + interval '1 minute' where dedupe_key = 'id:1';
select is((tests.record('trend', 'a', 'id:1') ->> 'is_busy')::boolean, true, 'unless it waits');
update public.webhook_signals set next_attempt_at = now() where dedupe_key = 'id:1';

-- By the webhook that it was verified by

select is(
    public.receive_webhook_record(tests.webhook_id('other'), '{}', '{}', 'x', p_config_version => '2026-01-01') ->> 'outcome',
    'changed', 'an alert that was verified by an earlier version is not stored'
);
select is(
    public.receive_webhook_record(
        tests.webhook_id('other'), '{}', '{"symbol": {"name": "AAPL"}}', 'y',
        p_config_version => (select updated_at from public.webhook_configs where id = tests.webhook_id('other'))
    ) ->> 'outcome',
    'accepted', 'and one by the present version is'
);

-- The rate

select is(tests.record('trend', 'd') ->> 'outcome', 'accepted', 'the fourth is within the rate');
select is(tests.record('trend', 'e') ->> 'outcome', 'limited', 'the fifth is not');
select ok((tests.record('trend', 'e') ->> 'retry_after')::integer between 1 and 60, 'and is told when to come back');
select is(tests.record('trend', 'd') ->> 'outcome', 'duplicate', 'a repeat is no new one, even then');
update private.webhook_rates set window_start = window_start - interval '1 minute';
select is(tests.record('trend', 'e') ->> 'outcome', 'accepted', 'a minute later there is room again');

-- One at a time

select count(*) as stored from public.webhook_signals where user_id = tests.user_id('anna') \gset
select is(jsonb_array_length(public.receive_webhook_waiting(10)) > 0, true, 'the sweep sees that signals wait');
select tests.next('anna', 1) as first \gset
select isnt(:'first'::jsonb ->> 'signal_id', null, 'one takes the turn and a signal');
select is(tests.next('anna', 2), null, 'another has to wait');
select ok(not public.receive_webhook_waiting(500) ? tests.user_id('anna')::text, 'and the sweep leaves it alone');
select is(public.receive_webhook_finish((:'first'::jsonb ->> 'signal_id')::uuid, tests.lease(2), 'refused'), false, 'only who has a signal ends it');
select ok(public.receive_webhook_finish((:'first'::jsonb ->> 'signal_id')::uuid, tests.lease(1), 'refused', '[{"code": "X"}]'), 'the first ends it');
select isnt(tests.next('anna', 1) ->> 'signal_id', :'first'::jsonb ->> 'signal_id', 'and goes on to the next');

-- It ends without a word

update private.trading_turns set leased_until = clock_timestamp() - interval '1 second';
update public.webhook_signals set leased_until = clock_timestamp() - interval '1 second' where leased_until is not null;
select tests.next('anna', 2) as taken \gset
select is((:'taken'::jsonb ->> 'attempts')::integer, 2, 'another takes the same signal up, the second time');
update public.webhook_signals set attempts = 10 where id = (:'taken'::jsonb ->> 'signal_id')::uuid;
update public.webhook_signals set leased_until = clock_timestamp() - interval '1 second' where leased_until is not null;
select isnt(tests.next('anna', 2) ->> 'signal_id', :'taken'::jsonb ->> 'signal_id', 'after ten attempts it is given up');
select results_eq(
    format($$ select status, refusals #>> '{0,code}' from public.webhook_signals where id = %L $$, :'taken'::jsonb ->> 'signal_id'),
    $$ values ('failed', 'GIVEN_UP') $$, 'and says so'
);

-- To the end, and then the turn is free

select public.receive_webhook_yield(tests.user_id('anna'), tests.lease(2));
update public.webhook_signals set leased_until = null, status = 'pending' where status = 'processing';
create function pg_temp.work_off() returns integer language plpgsql as $$
declare
    v_task jsonb; v_done integer := 0;
begin
    loop
        v_task := tests.next('anna', 3);
        exit when v_task is null;
        perform public.receive_webhook_place((v_task ->> 'signal_id')::uuid, tests.lease(3), 'work-' || v_done, true,
            tests.order('buy', '1'), '["because"]', tests.state('filled', '1', '100'));
        v_done := v_done + 1;
    end loop;
    return v_done;
end $$;
select is(pg_temp.work_off(), :stored - 2, 'each of the others becomes one order');
select is(tests.next('anna', 4), null, 'then there is nothing to do');
select results_eq($$ select lease_id from private.trading_turns where user_id = tests.user_id('anna') $$, array[null::uuid], 'and the turn is free');
select results_eq(
    $$ select count(*)::integer from public.webhook_signals where user_id = tests.user_id('anna') and finished_at is null $$, array[0], 'none is left'
);

-- In the order in which they came

select tests.record('other', 'buy', 'order:1') ->> 'signal_id' as buy \gset
select tests.record('other', 'close', 'order:2') ->> 'signal_id' as close \gset
select tests.next('anna', 5) ->> 'signal_id' as taken \gset
select is(:'taken'::uuid, :'buy'::uuid, 'the buy comes first');
select public.receive_webhook_later(:'buy', tests.lease(5), 20, 'the broker asks to slow down');
select is(tests.next('anna', 5), null, 'while it waits, the close of the same symbol does too');
update public.webhook_signals set symbol = 'MSFT' where id = :'close';
select is((tests.next('anna', 5) ->> 'signal_id')::uuid, :'close'::uuid, 'one of another symbol does not');
update public.webhook_signals set symbol = 'AAPL', status = 'pending', leased_until = null where id = :'close';
update public.webhook_signals set finished_at = now(), status = 'refused' where id = :'buy';
select is((tests.next('anna', 5) ->> 'signal_id')::uuid, :'close'::uuid, 'and once the buy has ended it is the turn of the close');
select public.receive_webhook_later(:'close', tests.lease(5), 0, 'an order is being canceled', p_is_attempt => false);
select is((tests.next('anna', 5) ->> 'attempts')::integer, 2, 'and to have waited for the broker is no attempt');
update public.webhook_signals set finished_at = now(), status = 'refused' where id = :'close';

-- Nobody's `false` trades with the operator's account

update public.webhook_configs set simulation_mode = false where name = 'other';
select tests.record('other', 'z', 'live') ->> 'outcome' as outcome \gset
select is((tests.next('anna', 5, true) ->> 'simulated')::boolean, true, 'without an account of its own a webhook stays in simulation');
update public.webhook_signals set status = 'pending', leased_until = null where dedupe_key = 'live';
select is((tests.next('anna', 5, false) ->> 'simulated')::boolean, false, 'unless the operator trades');
update public.webhook_configs set alpaca_api_key_sealed = 'v1.k.x', alpaca_api_secret_sealed = 'v1.k.x' where name = 'other';
update public.webhook_signals set status = 'pending', leased_until = null where dedupe_key = 'live';
select is((tests.next('anna', 5, true) ->> 'simulated')::boolean, false, 'or it has one');

select * from finish();
rollback;
