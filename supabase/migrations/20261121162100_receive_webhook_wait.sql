-- Waiting for the broker to do what it was asked for is no attempt that came to nothing.

drop function public.receive_webhook_later(uuid, uuid, integer, text);

create function public.receive_webhook_later(
    p_signal_id uuid, p_lease_id uuid, p_after_seconds integer, p_error text, p_is_attempt boolean default true
) returns boolean
language plpgsql security definer set search_path = '' as $$
begin
    update public.webhook_signals
    set status = 'pending', lease_id = null, leased_until = null, last_error = left(p_error, 1000),
        attempts = attempts - case when p_is_attempt then 0 else 1 end,
        next_attempt_at = clock_timestamp() + make_interval(secs => greatest(p_after_seconds, 0))
    where id = p_signal_id and lease_id = p_lease_id and finished_at is null;
    return found;
end;
$$;
comment on function public.receive_webhook_later(uuid, uuid, integer, text, boolean) is
    'Leaves a signal for a later attempt. What is no attempt does not count to those after which a signal is given up.';

revoke execute on function public.receive_webhook_later(uuid, uuid, integer, text, boolean)
from public, anon, authenticated, service_role;
grant execute on function public.receive_webhook_later(uuid, uuid, integer, text, boolean) to service_role;
