//! Real captures through the whole pipe. They are other people's, so they are not in the
//! repository: `DEX_CORPUS` names the folder that has `cantaloupe/`.

use std::path::Path;

use anyhow::Result;
use ironferry_tests::captures;
use ironferry_tests::dex_site::{Account, Site};
use ironferry_tests::lab::Lab;
use serde_json::json;
use time::OffsetDateTime;

#[tokio::test(flavor = "multi_thread")]
async fn real_captures_arrive_byte_by_byte_with_their_verdicts_and_sums() -> Result<()> {
    let Some(corpus) = std::env::var_os("DEX_CORPUS") else {
        eprintln!("skipped: DEX_CORPUS is not set, and it names the folder of real captures");
        return Ok(());
    };
    let files = captures::from_folder(&Path::new(&corpus).join("cantaloupe"), OffsetDateTime::now_utc())?;
    let lab = Lab::start("corpus", &[]).await?;
    let db = lab.db().await?;
    let accounts = Account::dealt(files.clone(), 3);
    let site = Site::start(0, accounts.clone()).await?;
    for account in &accounts {
        lab.company(&db, &account.email, &site, account).await?;
    }
    let summary = lab.as_service("POST", "/collect-dex?wait=true", None, json!({})).await?.json()?;
    assert_eq!(summary["successfulCollections"], 3, "{summary}");
    assert_eq!(summary["totalRecords"], files.len(), "{summary}");

    let raw = "select case raw_encoding when 'base64' then decode(raw_content, 'base64')
                      else convert_to(raw_content, 'UTF8') end
               from public.dex_captures where case_serial = $1 and dex_id = $2";
    for file in &files {
        let row = db.0.query_one(raw, &[&file.serial, &file.dex_id]).await?;
        assert!(row.try_get::<_, Vec<u8>>(0)? == file.bytes(), "{}_{} was altered", file.serial, file.dex_id);
    }
    // In each of these files the products' vends add up to its total.
    let odd = "select count(*) from public.dex_captures, lateral (
            select sum((product #>> '{vends,since_init,count}')::bigint) as count
            from jsonb_array_elements(parsed_data -> 'products') as product
        ) as products
        where products.count is distinct from (parsed_data #>> '{totals,vends,since_init,count}')::bigint";
    assert_eq!(db.count(odd, &[]).await?, 0);
    // The one with a lost byte is found out.
    let damaged =
        "select string_agg(dex_id::text, ',') from public.dex_captures where crc_status = 'mismatch'";
    if files.iter().any(|file| file.dex_id == 23_062_970) {
        assert_eq!(db.text(damaged, &[]).await?, "23062970");
    }
    // Of each machine, intervals add up to what its counters gained, and selections to the intervals.
    let machines = "select count(*) from (
            select machine_id,
                (array_agg(counters order by captured_at desc, dex_id desc))[1] #>> '{lines,0,2}' as last,
                (array_agg(counters order by captured_at, dex_id))[1] #>> '{lines,0,2}' as first
            from public.dex_captures where counters is not null group by machine_id
        ) as machine
        where not exists (select from public.dex_intervals where machine_id = machine.machine_id and continuity <> 'continuous')
          and last::bigint - first::bigint <> (select sum(vends) from public.dex_intervals where machine_id = machine.machine_id)";
    assert_eq!(db.count(machines, &[]).await?, 0);
    let selections = "select count(*) from public.dex_intervals as whole
        where vends is distinct from (select sum(vends) from public.dex_sales as part
            where part.machine_id = whole.machine_id and part.to_dex_id = whole.to_dex_id)";
    assert_eq!(db.count(selections, &[]).await?, 0);
    lab.stop().await
}
