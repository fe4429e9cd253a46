-- An alert that waits, for the broker or for a later attempt, is not overtaken by the next one of its symbol.

create or replace function public.receive_webhook_next(
    p_user_id uuid, p_lease_id uuid, p_lease_seconds integer, p_simulation boolean, p_most_attempts integer default 10
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
    v_turn    private.trading_turns;
    v_signal  public.webhook_signals;
    v_end     timestamptz;
begin
    insert into private.trading_turns (user_id) values (p_user_id) on conflict (user_id) do nothing;
    -- Whoever stores a signal asks here afterwards: either it gets the turn, or the one who has it
    -- comes here again and finds the signal.
    select * into v_turn from private.trading_turns where user_id = p_user_id for update;
    if v_turn.leased_until > clock_timestamp() and v_turn.lease_id is distinct from p_lease_id then
        return null;
    end if;
    loop
        select * into v_signal from public.webhook_signals as one
        where user_id = p_user_id and status in ('pending', 'processing') and next_attempt_at <= clock_timestamp()
          and (leased_until is null or leased_until <= clock_timestamp() or lease_id is distinct from p_lease_id)
          -- Else the close finds nothing, and the buy that waited comes after it.
          and received_at <= (
              select earliest.received_at from public.webhook_signals as earliest
              where earliest.user_id = p_user_id and earliest.status in ('pending', 'processing')
                and earliest.symbol = one.symbol
              order by earliest.received_at limit 1
          )
        order by received_at limit 1;
        exit when v_signal.id is null or v_signal.attempts < p_most_attempts;
        -- What was taken up so often ended without a word each time, or the broker never answered.
        perform private.signal_end(
            v_signal.id, 'failed',
            jsonb_build_array(jsonb_build_object(
                'code', 'GIVEN_UP', 'message', coalesce(v_signal.last_error, 'every attempt ended without a word')
            )), null
        );
    end loop;
    if v_signal.id is null then
        update private.trading_turns set lease_id = null, leased_until = null where user_id = p_user_id;
        return null;
    end if;
    v_end := clock_timestamp() + make_interval(secs => greatest(p_lease_seconds, 1));
    update private.trading_turns set lease_id = p_lease_id, leased_until = v_end where user_id = p_user_id;
    update public.webhook_signals
    set status = 'processing', attempts = attempts + 1, lease_id = p_lease_id, leased_until = v_end
    where id = v_signal.id
    returning * into v_signal;
    return private.trading_context(v_signal, p_simulation);
end;
$$;
comment on function public.receive_webhook_next(uuid, uuid, integer, boolean, integer) is
    'Takes or keeps the owner''s turn and gives the oldest signal that is due, and before which none of its symbol waits, with all that its decision is made from; without one, gives the turn back. Null when another has the turn.';
