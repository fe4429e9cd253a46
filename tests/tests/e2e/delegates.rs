//! `collect-dex` hands companies to another site's `collect-bulk`: here, our own.

use anyhow::Result;
use ironferry_tests::dex_site::{Account, Site};
use ironferry_tests::lab::Lab;
use serde_json::json;
use time::OffsetDateTime;
use tokio::net::{TcpListener, TcpStream};

/// Passes connections on to an address: `SITE_URL` must be known before the stack has its ports.
fn pass_on(listener: TcpListener, to: String) {
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let to = to.clone();
            tokio::spawn(async move {
                if let Ok(mut far) = TcpStream::connect(to).await {
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                }
            });
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_site_url_companies_are_collected_through_it_batch_by_batch() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let site_url = format!("http://{}/functions/v1/collect-bulk", listener.local_addr()?);
    let lab = Lab::start("delegates", &[("SITE_URL", &site_url)]).await?;
    let gateway = lab.stack.api_url().trim_start_matches("http://").to_owned();
    pass_on(listener, gateway);
    let db = lab.db().await?;
    let accounts: Vec<Account> =
        (1..=3).map(|number| Account::synthetic(number, 2, 20, OffsetDateTime::now_utc())).collect();
    let site = Site::start(0, accounts.clone()).await?;
    for account in &accounts {
        lab.company(&db, &account.email, &site, account).await?;
    }
    site.reset_stats();

    let summary = lab.as_service("POST", "/collect-dex?wait=true", None, json!({})).await?.json()?;
    assert_eq!((&summary["successfulCollections"], &summary["totalRecords"]), (&json!(3), &json!(120)));
    let stats = site.stats();
    assert_eq!(stats.downloaded_again(), Vec::<i64>::new());
    // 40 captures in batches of 15, each with a login of its own.
    assert_eq!(stats.all_logins(), 9, "{stats:?}");
    let free = "select count(*) from public.collection_state
        where lease_run_id is null and last_succeeded_at is not null and next_due_at > now()";
    assert_eq!(db.count(free, &[]).await?, 3);
    lab.stop().await
}
