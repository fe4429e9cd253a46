-- Which of two refresh tokens is the newer one is not for the clocks of workers to say: a new one that looked older
-- was dropped, and the one before it is used up.

drop function public.cache_credentials(text, text, text, timestamptz);

-- p_sent_at is the caller's own now. Without it, as an older worker calls this, its clock is believed.
create function public.cache_credentials(
    p_project text, p_type text, p_credentials text, p_got_at timestamptz, p_sent_at timestamptz default null
) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
    -- By its age. What it took to arrive makes it newer, which does no harm: one at a time has the lease.
    v_got_at timestamptz := coalesce(clock_timestamp() - (p_sent_at - p_got_at), p_got_at);
begin
    update public.cache_sources set credentials = p_credentials, credentials_at = least(v_got_at, clock_timestamp())
    where project_id = private.cache_project(p_project) and cache_type = p_type
      -- The same once more is a call that was repeated.
      and (credentials_at is null or credentials_at <= v_got_at or credentials = p_credentials);
    return found;
end;
$$;
comment on function public.cache_credentials(text, text, text, timestamptz, timestamptz) is
    'Keeps sealed credentials unless newer ones are there, by their age and not by the caller''s clock.';

revoke execute on function public.cache_credentials(text, text, text, timestamptz, timestamptz)
from public, anon, authenticated, service_role;
grant execute on function public.cache_credentials(text, text, text, timestamptz, timestamptz) to service_role;
