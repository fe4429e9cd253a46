-- How long captures are kept. docs/dex.md has the sizes and the plan for more of them.

create function private.setting_days(p_settings jsonb, p_name text, p_default integer) returns interval
language sql immutable set search_path = '' as $$
    select make_interval(days => case
        when p_settings ->> p_name ~ '^\d{1,5}$' then greatest((p_settings ->> p_name)::integer, 7)
        else p_default
    end);
$$;
comment on function private.setting_days(jsonb, text, integer) is 'A number of days from settings, 7 at the least.';

create function private.dex_retention(p_limit integer default 20000)
returns table (parsed_dropped integer, captures_deleted integer)
language plpgsql security definer set search_path = '' as $$
begin
    -- A bounded number a night keeps the transaction short; the next night goes on. The newest four sound
    -- captures of a machine stay whole: sales go on from them.
    with old as (
        select capture.id
        from public.companies as company
        cross join lateral (
            select aged.id from public.dex_captures as aged
            where aged.company_id = company.id and aged.parsed_data is not null
              and aged.captured_at < now() - private.setting_days(company.settings, 'keepParsedDays', 90)
              and (aged.captured_at, aged.dex_id) < (
                  select newest.captured_at, newest.dex_id from public.dex_captures as newest
                  where newest.machine_id = aged.machine_id and newest.counters is not null
                  order by newest.captured_at desc, newest.dex_id desc offset 3 limit 1
              )
            order by aged.captured_at limit p_limit
        ) as capture
        limit p_limit
    )
    update public.dex_captures as capture set parsed_data = null, counters = null
    from old where capture.id = old.id;
    get diagnostics parsed_dropped = row_count;

    with old as (
        select capture.id
        from public.companies as company
        cross join lateral (
            select id from public.dex_captures
            where company_id = company.id and parsed_data is null
              and captured_at < now() - private.setting_days(company.settings, 'keepCapturesDays', 750)
            order by captured_at limit p_limit
        ) as capture
        limit p_limit
    )
    delete from public.dex_captures as capture using old where capture.id = old.id;
    get diagnostics captures_deleted = row_count;
    return next;
end;
$$;
comment on function private.dex_retention(integer) is
    'Drops what was read from captures after settings.keepParsedDays (90), and captures after settings.keepCapturesDays (750). Sales stay.';

revoke execute on function private.setting_days(jsonb, text, integer), private.dex_retention(integer)
from public, anon, authenticated, service_role;

select cron.schedule('dex-retention', '37 3 * * *', 'select private.dex_retention()');
