-- \d is any digit of any script where the collation says so (ICU, as on the platform), and a cast to a number takes
-- ASCII only: a setting of one company, such as Arabic digits, made the functions fail for all of them.

create or replace function private.collect_interval(p_settings jsonb) returns interval
language plpgsql immutable set search_path = '' as $$
begin
    return make_interval(mins => least(greatest(
        case when p_settings ->> 'collectEveryMinutes' ~ '^[0-9]{1,5}$'
             then (p_settings ->> 'collectEveryMinutes')::integer else 5 end, 1), 10080));
end;
$$;

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

-- json and not jsonb: what jsonb refuses, such as a zero byte, is then one capture's fault and not the call's.
create or replace function public.collect_dex_store(p_company_id uuid, p_captures json)
returns table (dex_id bigint, outcome text, error text)
language plpgsql security definer set search_path = '' as $$
declare
    v_capture    json;
    v_machine_id uuid;
    v_stored     uuid[] := array[]::uuid[];
begin
    -- Two calls for one company take turns: each then sees what the other stored.
    perform from public.companies where id = p_company_id for no key update;
    if not found then
        raise exception 'there is no company %', p_company_id using errcode = 'P0002';
    end if;
    if json_typeof(p_captures) is distinct from 'array' or json_array_length(p_captures) > 1000 then
        raise exception 'p_captures is not an array of up to 1,000 captures' using errcode = '22023';
    end if;
    for v_capture in select listed.value from json_array_elements(p_captures) as listed loop
        dex_id := null;
        error := null;
        -- The block is a transaction of its own: what is wrong with one capture is not the others'.
        begin
            -- By its text, so that it is known even when nothing else can be read.
            dex_id := substring(v_capture::text from '"dex_id"\s*:\s*"?(-?[0-9]{1,19})\M')::bigint;
            v_machine_id := private.collect_store_one(p_company_id, v_capture::jsonb);
            outcome := case when v_machine_id is null then 'duplicate' else 'stored' end;
            v_stored := v_stored || v_machine_id;
        exception when others then
            -- Unfit data, a broken constraint, too large or too deep. All else (a deadlock, a full disk, a
            -- shutdown) is not the capture's fault, and fails the call, which is then made again.
            if sqlstate !~ '^(22|23|54)' then
                raise;
            end if;
            outcome := 'rejected';
            error := sqlerrm;
        end;
        return next;
    end loop;
    perform private.collect_refresh(array(
        select distinct stored.machine_id from unnest(v_stored) as stored (machine_id) where stored.machine_id is not null
    ));
end;
$$;
