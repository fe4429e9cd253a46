-- The logins of companies to their DEX sites.

create table public.user_credentials (
    id                  uuid primary key default gen_random_uuid(),
    user_id             uuid references auth.users on delete set null,
    company_id          uuid not null references public.companies on delete cascade,
    username_encrypted  text not null,
    password_encrypted  text not null,
    site_url            text not null default 'https://dashboard.cantaloupe.online',
    is_active           boolean not null default true,
    last_validated      timestamptz,
    validation_status   text not null default 'unchecked',
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now(),
    constraint user_credentials_once unique (company_id),
    -- 54 characters hold a nonce and the tag of an empty text: nothing shorter was sealed.
    constraint user_credentials_username_sealed check (username_encrypted ~ '^v1\.[0-9A-Za-z]+\.[0-9A-Za-z_-]{54,}$'),
    constraint user_credentials_password_sealed check (password_encrypted ~ '^v1\.[0-9A-Za-z]+\.[0-9A-Za-z_-]{54,}$'),
    constraint user_credentials_sealed_size check (length(username_encrypted) + length(password_encrypted) <= 8192),
    constraint user_credentials_site_url check (site_url ~ '^https?://\S+$' and length(site_url) <= 2048),
    constraint user_credentials_status check (validation_status in ('unchecked', 'valid', 'invalid'))
);
comment on table public.user_credentials is 'The login of a company to its DEX site, sealed by the function. Plaintext is refused.';
comment on column public.user_credentials.id is 'Key.';
comment on column public.user_credentials.user_id is 'The user who saved it; none when a service did, or when the user is gone.';
comment on column public.user_credentials.company_id is 'The company; one login each.';
comment on column public.user_credentials.username_encrypted is
    'v1.<key id>.<base64url of nonce and ciphertext>, XChaCha20-Poly1305. The text is bound to company and column.';
comment on column public.user_credentials.password_encrypted is 'The same for the password.';
comment on column public.user_credentials.site_url is 'Where to log in.';
comment on column public.user_credentials.is_active is 'Whether the collector uses it.';
comment on column public.user_credentials.last_validated is 'When the site last took or refused it.';
comment on column public.user_credentials.validation_status is 'unchecked, valid or invalid.';
comment on column public.user_credentials.created_at is 'When the row was made.';
comment on column public.user_credentials.updated_at is 'When the row was last changed.';
create index user_credentials_user on public.user_credentials (user_id) where user_id is not null;

create trigger user_credentials_touch before update on public.user_credentials
    for each row execute function private.touch_updated_at();

alter table public.user_credentials enable row level security;
revoke all on public.user_credentials from anon, authenticated, service_role;
-- The sealed columns are not among them.
grant select (id, user_id, company_id, site_url, is_active, last_validated, validation_status, created_at, updated_at)
    on public.user_credentials to authenticated;
grant select, insert, update, delete on public.user_credentials to service_role;
create policy "admins see that there is a login" on public.user_credentials
    for select to authenticated using (company_id in (select private.my_managed_companies()));

create function public.collect_credentials_save(
    p_company_id uuid,
    p_username_encrypted text,
    p_password_encrypted text,
    p_site_url text,
    p_validation_status text,
    p_user_id uuid default null
) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
    v_id         uuid;
    v_constraint text;
begin
    insert into public.user_credentials as login (
        company_id, user_id, username_encrypted, password_encrypted, site_url, validation_status, last_validated
    ) values (
        p_company_id, p_user_id, p_username_encrypted, p_password_encrypted, p_site_url, p_validation_status,
        case when p_validation_status <> 'unchecked' then now() end
    )
    on conflict on constraint user_credentials_once do update
    set user_id = excluded.user_id,
        username_encrypted = excluded.username_encrypted,
        password_encrypted = excluded.password_encrypted,
        site_url = excluded.site_url,
        validation_status = excluded.validation_status,
        last_validated = excluded.last_validated,
        is_active = true
    returning login.id into v_id;
    return v_id;
exception when check_violation then
    -- Postgres' own error shows the row, and what is refused here may be a password in the clear.
    get stacked diagnostics v_constraint = constraint_name;
    raise exception 'the login is refused: %', v_constraint using errcode = '23514', constraint = v_constraint;
end;
$$;
comment on function public.collect_credentials_save(uuid, text, text, text, text, uuid) is
    'Saves a sealed login in place of the company''s other one, and gives its id.';

create function public.collect_credentials_checked(p_company_id uuid, p_status text) returns void
language sql security definer set search_path = '' as $$
    update public.user_credentials set validation_status = p_status, last_validated = now()
    where company_id = p_company_id;
$$;
comment on function public.collect_credentials_checked(uuid, text) is 'Notes whether the site took the login.';

revoke execute on function
    public.collect_credentials_save(uuid, text, text, text, text, uuid),
    public.collect_credentials_checked(uuid, text)
from public, anon, authenticated, service_role;
grant execute on function
    public.collect_credentials_save(uuid, text, text, text, text, uuid),
    public.collect_credentials_checked(uuid, text)
to service_role;
