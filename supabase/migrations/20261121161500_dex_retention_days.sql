-- Captures that failed are listed again for 30 days, and those of a first collection for 37. One that is stored while
-- what was read from its neighbours is gone would count again what they sold.

create or replace function private.setting_days(p_settings jsonb, p_name text, p_default integer) returns interval
language sql immutable set search_path = '' as $$
    select make_interval(days => case
        when p_settings ->> p_name ~ '^[0-9]{1,5}$' then greatest((p_settings ->> p_name)::integer, 40)
        else p_default
    end);
$$;
comment on function private.setting_days(jsonb, text, integer) is
    'A number of days from settings, 40 at the least: longer than collection_state.collect_from goes back.';
