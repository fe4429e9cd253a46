-- Profiles: what the API may show of a user. Auth keeps the account itself.

create table public.users (
    id            uuid primary key references auth.users on delete cascade,
    email         text,
    clerk_id      text,
    display_name  text not null default '',
    avatar_url    text,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    constraint users_clerk_id unique (clerk_id),
    constraint users_clerk_id_form check (clerk_id ~ '^\S{1,255}$'),
    constraint users_display_name check (length(display_name) <= 100),
    constraint users_avatar_url check (avatar_url ~ '^https://\S+$' and length(avatar_url) <= 2048)
);
comment on table public.users is 'One row per account of Auth, kept by a trigger there.';
comment on column public.users.id is 'The account, auth.users.id.';
comment on column public.users.email is 'Its e-mail address, as Auth has it; none for an account by phone. Not unique: two providers may share one.';
comment on column public.users.clerk_id is 'Its id at Clerk, from app_metadata.clerk_id, which only the back end writes.';
comment on column public.users.display_name is 'What others call the user. At first full_name or name of the user''s metadata.';
comment on column public.users.avatar_url is 'A picture, https.';
comment on column public.users.created_at is 'When the row was made.';
comment on column public.users.updated_at is 'When the row was last changed.';
create index users_email on public.users (email);

create trigger users_touch before update on public.users
    for each row execute function private.touch_updated_at();

alter table public.users enable row level security;
revoke all on public.users from anon, authenticated, service_role;
grant select on public.users to authenticated;
-- E-mail and Clerk id come from Auth, so that nobody takes another's.
grant update (display_name, avatar_url) on public.users to authenticated;
grant select, insert, update, delete on public.users to service_role;
create policy "users see themselves" on public.users
    for select to authenticated using (id = (select auth.uid()));
create policy "users change themselves" on public.users
    for update to authenticated using (id = (select auth.uid())) with check (id = (select auth.uid()));

create function private.users_follow_auth() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    -- Anybody may sign up with any metadata: it is cut to size, as an error here would refuse the account.
    v_name constant text := left(
        coalesce(new.raw_user_meta_data ->> 'full_name', new.raw_user_meta_data ->> 'name', ''), 100
    );
begin
    -- Auth keeps the row of an account that it deletes softly.
    if new.deleted_at is not null then
        delete from public.users where id = new.id;
        return null;
    end if;
    insert into public.users as profile (id, email, clerk_id, display_name)
    values (new.id, new.email, nullif(new.raw_app_meta_data ->> 'clerk_id', ''), v_name)
    on conflict (id) do update
    set email = excluded.email, clerk_id = excluded.clerk_id
    where (profile.email, profile.clerk_id) is distinct from (excluded.email, excluded.clerk_id);
    return null;
end;
$$;
comment on function private.users_follow_auth() is
    'Trigger on auth.users: makes the profile, keeps its e-mail address and Clerk id, and removes it on a soft deletion.';
revoke execute on function private.users_follow_auth() from public, anon, authenticated, service_role;

-- A hard deletion takes the profile with it by the foreign key.
create trigger users_follow_auth
    after insert or update of email, raw_app_meta_data, deleted_at on auth.users
    for each row execute function private.users_follow_auth();

insert into public.users (id, email, clerk_id, display_name)
select
    account.id,
    account.email,
    nullif(account.raw_app_meta_data ->> 'clerk_id', ''),
    left(coalesce(account.raw_user_meta_data ->> 'full_name', account.raw_user_meta_data ->> 'name', ''), 100)
from auth.users as account
where account.deleted_at is null;
