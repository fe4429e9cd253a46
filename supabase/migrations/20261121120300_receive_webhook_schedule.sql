-- The safety net: what no request has finished is taken up again every minute.

create function private.receive_webhook_tick() returns bigint
language plpgsql security definer set search_path = '' as $$
begin
    if exists (
        select from public.webhook_signals where status in ('pending', 'processing') and next_attempt_at <= now()
    ) or exists (
        select from public.orders where closed_at is null and next_check_at <= now()
    ) or exists (
        select from public.webhook_notifications where status = 'pending' and next_attempt_at <= now()
    ) then
        return private.call_function('receive-webhook/sweep');
    end if;
    return null;
end;
$$;
comment on function private.receive_webhook_tick() is
    'Calls receive-webhook/sweep when a signal, an order or a notification is due. The id of pg_net''s request.';
revoke execute on function private.receive_webhook_tick() from public, anon, authenticated, service_role;

select cron.schedule('receive-webhook', '* * * * *', 'select private.receive_webhook_tick()');
