//! `ferry doctor` on projects with one mistake each.

mod ferry;
mod project;

use std::collections::BTreeSet;

use anyhow::Result;
use ferry::{Folder, Ran, ferry_with};
use project::Project;

fn doctor(project: &str, environment: &[(&str, &str)]) -> Ran {
    ferry_with(&["--project", project, "doctor", "--json"], b"", environment)
}

/// `CODE subject` of each finding.
fn findings(ran: &Ran) -> BTreeSet<String> {
    let told = ran.json();
    let findings = told["findings"].as_array().expect("a list");
    assert!(findings.iter().all(|one| one["mend"].as_str().is_some_and(|mend| !mend.is_empty())), "{told}");
    findings.iter().map(|one| format!("{} {}", one["code"], one["subject"]).replace('"', "")).collect()
}

#[test]
fn mistakes_of_the_folder_and_of_the_keys_are_found_without_a_database() {
    let folder = Folder::new();
    folder.file(
        "supabase/config.toml",
        "[functions.built]\nverify_jwt = false\n[functions.on]\nverify_jwt = true\n",
    );
    for name in ["built", "on", "bare"] {
        folder.file(&format!("supabase/functions/{name}/index.ts"), "Deno.serve(() => new Response());");
    }
    folder.file(
        "supabase/functions/on/index.ts",
        "handler({ secrets: [...SERVICE, \"MAIL_KEY\", \"SITE_URL\"] });",
    );
    for name in ["built", "on"] {
        folder.file(&format!("supabase/functions/{name}/wasm/{name}.ts"), "");
        folder.file(&format!("supabase/functions/{name}/wasm/{name}.json"), "");
    }
    folder.file("supabase/functions/bare/wasm/bare.ts", "");
    folder.file(
        ".env",
        "SUPABASE_SECRET_KEY=sb_publishable_topsecret\nSERVICE_API_KEY=topsecret\n\
         REDIS_URL=redis://u:topsecret@a.test/0?a=1&b=2\nSITE_URL='https://a.test/?a=1&b=2'\n",
    );
    let url = ("SUPABASE_URL", "https://abc.test");
    // As a guide has them.
    let pooler =
        ("SUPABASE_POOLER_URL", "postgresql://postgres:topsecret@pooler.db.abc.supabase.co:6543/postgres");
    let service = ("SUPABASE_SERVICE_KEY", "sb_publishable_topsecret");
    let ran = doctor(folder.path(), &[("SUPABASE_ANON_KEY", "sb_secret_topsecret"), url, pooler, service]);
    assert_eq!(ran.code, 1, "{ran:?}");
    let expected = [
        "ENV_UNQUOTED REDIS_URL",
        "NO_DATABASE database",
        "POOLER_HOST_UNKNOWN SUPABASE_POOLER_URL",
        "SSLMODE SUPABASE_POOLER_URL",
        "UNKNOWN_NAME SUPABASE_SERVICE_KEY",
        "WRONG_KEY_KIND SUPABASE_SERVICE_KEY",
        "SECRET_UNSET on",
        "SECRET_KEY_PUBLISHED SUPABASE_ANON_KEY",
        "VERIFY_JWT_IMPLICIT bare",
        "VERIFY_JWT_ON on",
        "WASM_MISSING bare",
        "WEAK_SERVICE_KEY SERVICE_API_KEY",
        "WRONG_KEY_KIND SUPABASE_SECRET_KEY",
    ];
    assert_eq!(findings(&ran), expected.map(str::to_owned).into());
    assert!(!ran.out.contains("topsecret"), "{}", ran.out);

    let other = ferry_with(&["--project", folder.path(), "gen", "types"], b"", &[]);
    assert!(other.err.contains(".env, line 3: the & in REDIS_URL"), "{other:?}");
    assert!(!other.err.contains("SITE_URL") && !other.err.contains("topsecret"), "{other:?}");

    let ran = doctor(folder.path(), &[("SUPABASE_DB_URL", "postgresql://u:topsecret@127.0.0.1:1/x")]);
    assert!(findings(&ran).contains("DATABASE_UNREACHABLE database"), "{ran:?}");
    assert!(!ran.out.contains("topsecret"), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_the_database_are_found_one_by_one_and_a_sound_one_has_none() -> Result<()> {
    let Some(project) = Project::start().await? else { return Ok(()) };
    let folder = project.folder();
    std::fs::write(
        folder.join("supabase/config.toml"),
        "[functions.echo]\nverify_jwt = false\n[functions.locked]\nverify_jwt = false\n",
    )?;
    for name in ["echo", "locked"] {
        std::fs::create_dir_all(folder.join(format!("supabase/functions/{name}/wasm")))?;
        for kind in ["ts", "json"] {
            std::fs::write(folder.join(format!("supabase/functions/{name}/wasm/{name}.{kind}")), "")?;
        }
    }
    let (path, url) = (folder.display().to_string(), project.stack.db_url());
    let key = project.stack.service_api_key().to_owned();
    let look = |key: &str| doctor(&path, &[("SUPABASE_DB_URL", &url), ("SERVICE_API_KEY", key)]);
    let sound = look(&key);
    assert_eq!((sound.code, findings(&sound).len()), (0, 0), "{sound:?}");

    project
        .sql(
            "create schema private;
             create function private.vault_secret(p_name text) returns text language sql set search_path = ''
                 as 'select decrypted_secret from vault.decrypted_secrets where name = p_name';
             create function private.tick() returns text language sql set search_path = ''
                 as $$ select private.vault_secret('service_api_key') || private.vault_secret('mail_key') $$;
             create table public.open (id int);
             grant select on public.open to service_role;
             create table public.shut (id int);
             alter table public.shut enable row level security;
             create table public.counted (id int);
             alter table public.counted enable row level security;
             create function private.count() returns void language sql security definer set search_path = ''
                 as $$ insert into public.counted values (1) $$;
             create table public.shown (id int);
             alter table public.shown enable row level security;
             grant select on public.shown to authenticated;
             create function public.closed() returns int language sql as 'select 1';
             revoke execute on function public.closed() from public, anon, authenticated, service_role;
             create extension pg_cron with schema pg_catalog;
             select cron.schedule('asleep', '0 0 * * *', 'select 1');
             select cron.alter_job(jobid, active := false) from cron.job;
             select cron.schedule('broken', '0 0 * * *', 'select 1 / 0');
             insert into cron.job_run_details
                 (jobid, runid, database, username, command, status, return_message, start_time, end_time)
                 select jobid, 1, database, username, command, 'failed', 'ERROR: division by zero', now(), now()
                 from cron.job where jobname = 'broken'",
        )
        .await?;
    let modules = concat!(env!("CARGO_MANIFEST_DIR"), "/../../node_modules");
    std::os::unix::fs::symlink(modules, folder.join("node_modules"))?;
    std::fs::create_dir_all(folder.join("scripts"))?;
    std::fs::write(
        folder.join("scripts/bundle.ts"),
        "if (Deno.args[1] === 'locked') { console.error('error: locked is of another source'); Deno.exit(1); }",
    )?;
    std::fs::write(
        folder.join("supabase/migrations/20260102000000_jobs.sql"),
        "select cron.schedule('gone', '0 0 * * *', 'select 1');
         select cron.schedule('asleep', '0 0 * * *', 'select 1');
         select cron.schedule('broken', '0 0 * * *', 'select 1 / 0');
         select cron.schedule('old', '0 0 * * *', 'select 1');
         select cron.unschedule('old');",
    )?;
    let ran = look("another-key-that-is-long-enough");
    assert_eq!(ran.code, 1, "{ran:?}");
    let expected = [
        "GRANT_MISSING closed",
        "GRANT_MISSING shown",
        "GRANT_MISSING shut",
        "JOB_FAILED broken",
        "JOB_INACTIVE asleep",
        "JOB_NOT_SCHEDULED gone",
        "MIGRATION_PENDING 20260102000000",
        "RLS_OFF open",
        "VAULT_KEY_DIFFERS service_api_key",
        "VAULT_SECRET_MISSING mail_key",
        "WASM_STALE locked",
    ];
    assert_eq!(findings(&ran), expected.map(str::to_owned).into());
    for said in ["division by zero", "locked is of another source"] {
        assert!(ran.out.contains(said), "{said}: {}", ran.out);
    }
    project.end().await
}
