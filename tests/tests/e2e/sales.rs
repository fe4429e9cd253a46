//! Sales: what machines sold between captures, in whatever order these arrive, as an operator sees it.

use anyhow::Result;
use ironferry_tests::captures::{Capture, Spoil};
use ironferry_tests::dex_site::{Account, Site};
use ironferry_tests::lab::{Db, Lab};
use serde_json::json;
use time::{Duration, OffsetDateTime};

/// Four machines, each read 12 times.
fn account(email: &str) -> Account {
    Account {
        email: email.into(),
        ..Account::synthetic(1, 4, 12, OffsetDateTime::now_utc() - Duration::days(1))
    }
}

async fn collect(lab: &Lab, db: &Db) -> Result<()> {
    db.run("update public.collection_state set next_due_at = now()").await?;
    let summary = lab.as_service("POST", "/collect-dex?wait=true", None, json!({})).await?.json()?;
    for company in summary["results"].as_array().into_iter().flatten() {
        assert!(company["success"] == true && company["errors"].is_null(), "{summary}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn captures_that_come_late_and_damaged_sell_what_they_would_have_in_order() -> Result<()> {
    let lab = Lab::start("sales", &[]).await?;
    let db = lab.db().await?;
    let (in_order, shuffled) = (account("order@sim.example"), account("shuffle@sim.example"));
    let empty = Account { captures: Vec::new(), ..shuffled.clone() };
    let site = Site::start(0, vec![in_order.clone(), empty]).await?;
    let first = lab.company(&db, "In order", &site, &in_order).await?;
    let second = lab.company(&db, "Shuffled", &site, &shuffled).await?;
    db.0.execute(
        "insert into public.machines (company_id, case_serial) values ($1::text::uuid, 'to be collected') on conflict do nothing",
        &[&second],
    )
    .await?;

    // Every third first, then the rest from the back, and in between a damaged one of the machine that
    // computes its checksums.
    let ticks = [1, 2, 0].map(|rest| {
        let part = shuffled.captures.iter().filter(move |capture| capture.dex_id % 3 == rest);
        part.rev().cloned().collect::<Vec<Capture>>()
    });
    let damaged = Capture {
        dex_id: 5,
        created: shuffled.captures[39].created + Duration::minutes(1),
        ..shuffled.captures[43].clone()
    };
    for tick in ticks {
        site.add(&shuffled.email, tick);
        site.add(&shuffled.email, [damaged.clone().spoiled(Spoil::LostByte)]);
        collect(&lab, &db).await?;
    }

    let differing = "with sold as (
            select company_id, case_serial, from_dex_id, to_dex_id, started_at, ended_at, continuity, vends, value_minor, cash_minor, cashless_minor,
                (select jsonb_object_agg(selection, jsonb_build_array(part.vends, part.value_minor, part.cashless_vends)) from public.dex_sales as part
                 where part.machine_id = whole.machine_id and part.to_dex_id = whole.to_dex_id) as selections
            from public.dex_intervals as whole join public.machines as machine using (company_id)
            where machine.id = whole.machine_id
        )
        select count(*) from (
            (select to_jsonb(sold) - 'company_id' from sold where company_id = $1::text::uuid except all
             select to_jsonb(sold) - 'company_id' from sold where company_id = $2::text::uuid)
            union all
            (select to_jsonb(sold) - 'company_id' from sold where company_id = $2::text::uuid except all
             select to_jsonb(sold) - 'company_id' from sold where company_id = $1::text::uuid)
        ) as other";
    assert_eq!(
        db.count("select count(*) from public.dex_intervals where company_id = $1::text::uuid", &[&second])
            .await?,
        44
    );
    assert_eq!(db.count(differing, &[&first, &second]).await?, 0, "the order of arrival changes nothing");
    let flaws =
        "select string_agg(dex_id || ' ' || flaw, ',') from public.dex_captures where flaw is not null";
    assert_eq!(db.text(flaws, &[]).await?, "5 mismatch");

    // What the counters gained is what the rows say.
    let gained = "select count(*) from (
            select machine_id,
                (array_agg(counters order by captured_at desc))[1] #>> '{lines,0,2}' as last,
                (array_agg(counters order by captured_at))[1] #>> '{lines,0,2}' as first
            from public.dex_captures where counters is not null group by machine_id
        ) as machine
        where last::bigint - first::bigint is distinct from
            (select sum(vends) from public.dex_intervals where machine_id = machine.machine_id)";
    assert_eq!(db.count(gained, &[]).await?, 0);
    site.stop();
    lab.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_asks_what_was_sold_what_is_wrong_and_where_the_cash_is() -> Result<()> {
    let lab = Lab::start("operator", &[]).await?;
    let db = lab.db().await?;
    let now = OffsetDateTime::now_utc();
    let mine = Account::synthetic(1, 4, 30, now);
    let site = Site::start(0, vec![mine.clone()]).await?;
    let company = lab.company(&db, "Mine", &site, &mine).await?;
    db.0.execute(
        "update public.companies set settings = '{\"currency\": \"EUR\"}' where id = $1::text::uuid",
        &[&company],
    )
    .await?;
    collect(&lab, &db).await?;
    let user = db.text("insert into auth.users (id, email) values (gen_random_uuid(), 'me@example.com') returning id::text", &[]).await?;
    let joined = "insert into public.company_members (company_id, user_id, role) values ($1::text::uuid, $2::text::uuid, 'member')";
    db.0.execute(joined, &[&company, &user]).await?;
    let token = format!("Bearer {}", lab.stack.keys().user_jwt(&user, &json!({})));
    let headers = [
        ("authorization", token.as_str()),
        ("apikey", lab.stack.keys().publishable.as_str()),
        ("content-type", "application/json"),
    ];
    let ask = async |path: &str, body: serde_json::Value| {
        let method = if body.is_null() { "GET" } else { "POST" };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        lab.api.send(method, &format!("/rest/v1/{path}"), &headers, body).await?.json()
    };
    let days =
        json!({ "p_from": (now - Duration::days(3)).date().to_string(), "p_to": now.date().to_string() });
    let total = |rows: &serde_json::Value| -> u64 {
        rows.as_array().into_iter().flatten().filter_map(|row| row["value_minor"].as_u64()).sum()
    };
    let by_day = ask("rpc/dex_sales_by_day", days.clone()).await?;
    let by_machine = ask("rpc/dex_sales_by_machine", days.clone()).await?;
    let by_product = ask("rpc/dex_sales_by_product", days.clone()).await?;
    assert!(total(&by_day) > 0 && by_day[0]["machines"] == 4, "{by_day}");
    assert_eq!(by_machine.as_array().map(Vec::len), Some(4));
    assert_eq!((total(&by_machine), total(&by_product)), (total(&by_day), total(&by_day)));

    let machines = ask("machine_overview?select=machine_id,case_serial,standing,cash_to_collect_minor,coin_tubes_minor&order=case_serial", json!(null)).await?;
    let machine =
        machines.as_array().into_iter().flatten().find(|one| one["cash_to_collect_minor"].as_u64() > Some(0));
    let Some(machine) = machine else { panic!("no machine has cash: {machines}") };
    let due = machine["cash_to_collect_minor"].as_u64();
    let collected =
        ask("rpc/machine_cash_collected", json!({ "p_machine_id": machine["machine_id"] })).await?;
    assert_eq!(collected.as_u64(), due);
    let left = ask(
        &format!(
            "machine_overview?select=cash_to_collect_minor&machine_id=eq.{}",
            machine["machine_id"].as_str().unwrap_or_default()
        ),
        json!(null),
    )
    .await?;
    assert_eq!(left, json!([{ "cash_to_collect_minor": 0 }]));

    let stranger =
        format!("Bearer {}", lab.stack.keys().user_jwt("00000000-0000-4000-8000-000000000009", &json!({})));
    let headers = [("authorization", stranger.as_str()), headers[1], headers[2]];
    let nothing =
        lab.api.send("POST", "/rest/v1/rpc/dex_sales_by_day", &headers, days.to_string()).await?.json()?;
    assert_eq!(nothing, json!([]), "a stranger sold nothing");
    site.stop();
    lab.stop().await
}
