-- The tables that the Auth service of a hosted project has besides `users`, with their keys and types and the columns
-- that these need. Run as a superuser.
set role supabase_auth_admin;
create type auth.factor_type as enum ('totp', 'webauthn', 'phone');
create type auth.factor_status as enum ('unverified', 'verified');
create type auth.aal_level as enum ('aal1', 'aal2', 'aal3');
create type auth.one_time_token_type as enum ('confirmation_token', 'recovery_token');
create type auth.oauth_authorization_status as enum ('pending', 'approved', 'denied', 'expired');

create table auth.schema_migrations (version varchar(255) primary key);
create table auth.instances (id uuid primary key, raw_base_config text);
create table auth.audit_log_entries (id uuid primary key, instance_id uuid, payload json, created_at timestamptz);
create table auth.identities (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null references auth.users on delete cascade,
    provider text not null,
    provider_id text not null,
    identity_data jsonb not null,
    email text generated always as (lower(identity_data ->> 'email')) stored,
    unique (provider_id, provider)
);
create table auth.oauth_clients (id uuid primary key, client_name text check (char_length(client_name) <= 1024));
create table auth.sessions (
    id uuid primary key,
    user_id uuid not null references auth.users on delete cascade,
    oauth_client_id uuid references auth.oauth_clients on delete cascade,
    aal auth.aal_level,
    ip inet
);
create table auth.refresh_tokens (
    id bigserial primary key,
    token varchar(255) unique,
    session_id uuid references auth.sessions on delete cascade,
    revoked boolean
);
create table auth.mfa_factors (
    id uuid primary key,
    user_id uuid not null references auth.users on delete cascade,
    factor_type auth.factor_type not null,
    status auth.factor_status not null,
    last_challenged_at timestamptz unique
);
create table auth.mfa_challenges (id uuid primary key, factor_id uuid not null references auth.mfa_factors on delete cascade);
create table auth.mfa_amr_claims (
    id uuid primary key, session_id uuid not null references auth.sessions on delete cascade, authentication_method text not null
);
create table auth.sso_providers (id uuid primary key, resource_id text check (char_length(resource_id) > 0));
create table auth.sso_domains (
    id uuid primary key, sso_provider_id uuid not null references auth.sso_providers on delete cascade, domain text not null
);
create unique index on auth.sso_domains (lower(domain));
create table auth.saml_providers (id uuid primary key, sso_provider_id uuid not null references auth.sso_providers on delete cascade);
create table auth.flow_state (id uuid primary key, user_id uuid, auth_code text);
create table auth.saml_relay_states (
    id uuid primary key,
    sso_provider_id uuid not null references auth.sso_providers on delete cascade,
    flow_state_id uuid references auth.flow_state on delete cascade
);
create table auth.one_time_tokens (
    id uuid primary key, user_id uuid not null references auth.users on delete cascade, token_type auth.one_time_token_type not null
);
create table auth.oauth_authorizations (
    id uuid primary key,
    client_id uuid not null references auth.oauth_clients on delete cascade,
    status auth.oauth_authorization_status not null default 'pending'
);
create table auth.oauth_consents (
    id uuid primary key,
    user_id uuid not null references auth.users on delete cascade,
    client_id uuid not null references auth.oauth_clients on delete cascade
);
create table auth.oauth_client_states (id uuid primary key, provider_type text not null);
create table auth.custom_oauth_providers (id uuid primary key, identifier text not null unique);
create table auth.webauthn_credentials (id uuid primary key, user_id uuid not null references auth.users on delete cascade);
create table auth.webauthn_challenges (id uuid primary key, user_id uuid references auth.users on delete cascade);
grant all on all tables in schema auth to postgres;
grant all on all sequences in schema auth to postgres;
reset role;
