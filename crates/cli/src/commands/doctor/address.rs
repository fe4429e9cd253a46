//! The way to the database: pooler, port, encryption.

use url::Url;

use super::Finding;

/// Where ferry and migrations look for the database.
const SUBJECT: &str = "SUPABASE_DB_URL";
/// What other programs of a project may read; transaction mode is right for them.
pub(super) const POOLER: &str = "SUPABASE_POOLER_URL";

pub(super) fn look(address: &str) -> Vec<Finding> {
    of(SUBJECT, address)
}

pub(super) fn of(subject: &str, address: &str) -> Vec<Finding> {
    let Ok(url) = Url::parse(address) else { return Vec::new() };
    let host = url.host_str().unwrap_or_default();
    let mut findings = Vec::new();
    if host.starts_with("pooler.db.") {
        findings.push(Finding::error(
            "POOLER_HOST_UNKNOWN",
            subject,
            "there is no host pooler.db.<project>.supabase.co",
            "copy the pooler's address from the dashboard (Connect): aws-…-<region>.pooler.supabase.com",
        ));
    }
    if host.ends_with(".pooler.supabase.com") && !url.username().contains('.') {
        findings.push(Finding::error(
            "POOLER_USER",
            subject,
            "the pooler cannot tell which project is meant",
            "the user is postgres.<project>, not postgres",
        ));
    }
    if url.port() == Some(6543) && subject != POOLER {
        findings.push(Finding::warning(
            "POOLER_TRANSACTION_MODE",
            subject,
            "port 6543 is the pooler's transaction mode: prepared statements, advisory locks and `set` do not last, \
             and migrations can fail half way",
            "use port 5432 (session mode or the direct address) for ferry and migrations",
        ));
    }
    if is_elsewhere(&url) {
        findings.extend(encryption(subject, &url));
    }
    findings
}

fn is_elsewhere(url: &Url) -> bool {
    match url.host_str() {
        None | Some("localhost" | "") => false,
        Some(host) => {
            !host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
    }
}

fn encryption(subject: &str, url: &Url) -> Option<Finding> {
    let mode = url.query_pairs().find(|(name, _)| name == "sslmode").map(|(_, mode)| mode.into_owned());
    let mend =
        "add ?sslmode=require, or better verify-full with sslrootcert= the certificate of the dashboard";
    match mode.as_deref() {
        Some("require" | "verify-ca" | "verify-full") => None,
        Some("disable") => Some(Finding::error(
            "SSLMODE",
            subject,
            "sslmode=disable sends the password and all rows in the clear",
            mend,
        )),
        _ => Some(Finding::warning(
            "SSLMODE",
            subject,
            "without sslmode=require the connection may go unencrypted",
            mend,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(address: &str) -> Vec<&'static str> {
        look(address).into_iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn the_ways_to_a_hosted_database_that_go_wrong_are_known() {
        assert_eq!(
            codes("postgresql://postgres:p@db.abc.supabase.co:5432/postgres?sslmode=require"),
            [""; 0]
        );
        assert_eq!(codes("postgresql://postgres:p@db.abc.supabase.co/postgres"), ["SSLMODE"]);
        assert_eq!(
            codes("postgresql://postgres:p@aws-0-eu-1.pooler.supabase.com:6543/postgres?sslmode=disable"),
            ["POOLER_USER", "POOLER_TRANSACTION_MODE", "SSLMODE"]
        );
        assert_eq!(
            codes(
                "postgresql://postgres.abc:p@aws-0-eu-1.pooler.supabase.com:5432/postgres?sslmode=verify-full"
            ),
            [""; 0]
        );
        assert_eq!(
            codes("postgresql://p:p@pooler.db.abc.supabase.co:5432/x?sslmode=require"),
            ["POOLER_HOST_UNKNOWN"]
        );
        assert_eq!(codes("postgresql://postgres@127.0.0.1:54322/postgres"), [""; 0]);
        let pooler = "postgresql://postgres.abc:p@aws-0-eu-1.pooler.supabase.com:6543/postgres";
        let found = of(POOLER, pooler);
        assert_eq!((found.len(), found[0].code, &*found[0].subject), (1, "SSLMODE", POOLER));
    }
}
