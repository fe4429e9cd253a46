-- What a collection stores. No lease is asked for: a capture is a fact whoever brings it, and one that
-- a run with a lost lease brings a second time is a duplicate.

create function public.collect_dex_unseen(p_company_id uuid, p_dex_ids bigint[]) returns bigint[]
language sql stable security definer set search_path = '' as $$
    -- An array is one row: PostgREST would cut a set off at 1,000.
    select coalesce(array_agg(distinct listed.dex_id), '{}')
    from unnest(p_dex_ids) as listed (dex_id)
    where not exists (
        select from public.dex_captures as capture
        where capture.company_id = p_company_id and capture.dex_id = listed.dex_id
    );
$$;
comment on function public.collect_dex_unseen(uuid, bigint[]) is 'Of these captures, those that are not stored.';

create function private.collect_store_one(p_company_id uuid, p_capture jsonb) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
    v_machine_id uuid;
begin
    select id into v_machine_id from public.machines
    where company_id = p_company_id and case_serial = p_capture ->> 'case_serial';
    if not found then
        insert into public.machines (company_id, case_serial) values (p_company_id, p_capture ->> 'case_serial')
        on conflict on constraint machines_once do update set case_serial = excluded.case_serial
        returning id into v_machine_id;
    end if;
    insert into public.dex_captures (
        company_id, machine_id, dex_id, case_serial, captured_at, firmware_version,
        raw_content, raw_encoding, parsed_data, crc_status, has_errors, record_count
    ) values (
        p_company_id, v_machine_id, (p_capture ->> 'dex_id')::bigint, p_capture ->> 'case_serial',
        (p_capture ->> 'captured_at')::timestamptz, p_capture ->> 'firmware_version',
        p_capture ->> 'raw_content', coalesce(p_capture ->> 'raw_encoding', 'utf-8'),
        p_capture -> 'parsed_data', p_capture ->> 'crc_status',
        coalesce((p_capture ->> 'has_errors')::boolean, false), coalesce((p_capture ->> 'record_count')::integer, 0)
    )
    on conflict on constraint dex_captures_once do nothing;
    return case when found then v_machine_id end;
end;
$$;
comment on function private.collect_store_one(uuid, jsonb) is 'Stores one capture and gives its machine, a new one for a new serial; null for a duplicate.';

-- The machine's latest_* follow from its captures, so the order of arrival does not matter: a capture
-- that comes late is in the history, and the newest stays the newest.
create function private.collect_refresh(p_machine_ids uuid[]) returns void
language sql security definer set search_path = '' as $$
    update public.machines as machine
    set latest_dex_id = newest.dex_id,
        latest_dex_data = newest.raw_content,
        latest_dex_parsed = newest.parsed_data,
        latest_errors = coalesce(newest.parsed_data -> 'errors', '[]'),
        dex_has_errors = newest.has_errors,
        dex_last_capture = newest.captured_at,
        dex_history = history.entries,
        firmware_version = coalesce(newest.firmware_version, machine.firmware_version),
        machine_model = coalesce(machine.machine_model, newest.parsed_data #>> '{identity,model}')
    from unnest(p_machine_ids) as stored (machine_id)
    cross join lateral (
        select * from public.dex_captures as capture
        where capture.machine_id = stored.machine_id
        order by capture.captured_at desc, capture.dex_id desc
        limit 1
    ) as newest
    cross join lateral (
        select jsonb_agg(
            jsonb_build_object('dexId', recent.dex_id, 'created', recent.captured_at)
            order by recent.captured_at desc, recent.dex_id desc
        ) as entries
        from (
            select capture.dex_id, capture.captured_at from public.dex_captures as capture
            where capture.machine_id = stored.machine_id
            order by capture.captured_at desc, capture.dex_id desc
            limit 100
        ) as recent
    ) as history
    where machine.id = stored.machine_id;
$$;
comment on function private.collect_refresh(uuid[]) is 'Brings what these machines show of their captures up to date.';

-- json and not jsonb: what jsonb refuses, such as a zero byte, is then one capture's fault and not the call's.
create function public.collect_dex_store(p_company_id uuid, p_captures json)
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
            dex_id := substring(v_capture::text from '"dex_id"\s*:\s*"?(-?\d{1,19})\M')::bigint;
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
comment on function public.collect_dex_store(uuid, json) is
    'Stores captures, each in a transaction of its own: stored, duplicate, or rejected with the reason.';

revoke execute on function
    private.collect_store_one(uuid, jsonb),
    private.collect_refresh(uuid[]),
    public.collect_dex_unseen(uuid, bigint[]),
    public.collect_dex_store(uuid, json)
from public, anon, authenticated, service_role;
grant execute on function
    public.collect_dex_unseen(uuid, bigint[]),
    public.collect_dex_store(uuid, json)
to service_role;
