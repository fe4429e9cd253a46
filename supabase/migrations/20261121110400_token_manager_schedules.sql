-- What of the token manager runs by itself.

create function private.token_renew_tick() returns bigint
language plpgsql security definer set search_path = '' as $$
begin
    -- Asked every minute: a call is made only when there is something to do.
    if exists (select from private.token_renewals where paused_until > now()) or not exists (
        select from public.tradovate_tokens
        where is_active and expires_at > now() and expires_at <= now() + interval '15 minutes'
          and (renew_claimed_until is null or renew_claimed_until <= now())
    ) then
        return null;
    end if;
    return private.call_function('token-manager?action=renew&wait=false');
end;
$$;
comment on function private.token_renew_tick() is
    'Calls for a renewal when a token ends within 15 minutes; the id of pg_net''s request, or null when none does.';

create function private.token_purge() returns void
language sql security definer set search_path = '' as $$
    delete from public.token_events where created_at < now() - interval '90 days';
    delete from public.token_syncs where started_at < now() - interval '30 days';
$$;
comment on function private.token_purge() is 'Forgets events after 90 days and syncs after 30.';

revoke execute on function private.token_renew_tick(), private.token_purge()
from public, anon, authenticated, service_role;

-- By name: scheduling again replaces.
select cron.schedule('token-manager-sync', '*/30 * * * *', $$ select private.call_function('token-manager?action=sync&wait=false') $$);
select cron.schedule('token-manager-cleanup', '0 2 * * *', $$ select private.call_function('token-manager?action=cleanup') $$);
select cron.schedule('token-manager-renew', '* * * * *', 'select private.token_renew_tick()');
select cron.schedule('token-manager-purge', '47 3 * * *', 'select private.token_purge()');
