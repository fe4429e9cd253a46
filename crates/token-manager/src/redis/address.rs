//! Where Redis is, and how to log in.

use ironferry::{Address, Context, Error, Result, Secret};
use percent_encoding::percent_decode_str;

pub(super) enum Target {
    Socket(Server),
    Rest(RestServer),
}

/// `redis://[[user]:password@]host[:port][/db]`, `rediss://` for TLS.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) address: Address,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) database: u32,
}

pub(super) struct RestServer {
    /// Without a slash at the end.
    pub(super) url: String,
    pub(super) token: Secret,
}

const PORT: u16 = 6379;

impl Target {
    pub(super) fn of(cx: &Context) -> Result<Option<Self>> {
        if let Some(url) = cx.secret("UPSTASH_REDIS_REST_URL") {
            let token = cx.require_secret("UPSTASH_REDIS_REST_TOKEN")?.clone();
            let url = url.expose().trim().trim_end_matches('/').to_owned();
            return Ok(Some(Target::Rest(RestServer { url, token })));
        }
        let Some(url) = cx.secret("REDIS_URL") else { return Ok(None) };
        let ca = cx.secret("REDIS_CA").map(|pem| pem.expose().to_owned());
        let server = parse(url.expose().trim(), ca).ok_or_else(|| {
            Error::internal(
                "REDIS_URL must be redis://[[user]:password@]host[:port][/db], or rediss:// for TLS",
            )
            .code("INVALID_SETTING")
        })?;
        Ok(Some(Target::Socket(server)))
    }
}

fn parse(url: &str, ca: Option<String>) -> Option<Server> {
    let (scheme, rest) = url.split_once("://")?;
    let tls = match scheme {
        "redis" => false,
        "rediss" => true,
        _ => return None,
    };
    // A password may hold anything, even when it should have been encoded; a host holds no @.
    let (login, place) = rest.rsplit_once('@').map_or((None, rest), |(login, place)| (Some(login), place));
    let (authority, path) = place.split_once('/').unwrap_or((place, ""));
    let database = match path.split('?').next().unwrap_or("") {
        "" => 0,
        number => number.parse().ok()?,
    };
    let (host, port) = host_and_port(authority.split('?').next().unwrap_or(""))?;
    let (user, password) = match login.map(|login| login.split_once(':').unwrap_or(("", login))) {
        None => (None, None),
        Some((user, password)) => {
            (Some(decoded(user)?).filter(|user| !user.is_empty()), Some(Secret::new(decoded(password)?)))
        }
    };
    Some(Server { address: Address { host, port, tls, ca: ca.filter(|_| tls) }, user, password, database })
}

fn host_and_port(authority: &str) -> Option<(String, u16)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host, port.strip_prefix(':'))
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Some(PORT), |port| port.parse().ok())?;
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> Server {
        parse(url, Some("a certificate".to_owned())).expect(url)
    }

    #[test]
    fn an_address_names_host_port_login_and_database() {
        let plain = server("redis://127.0.0.1");
        assert_eq!((plain.address.host.as_str(), plain.address.port), ("127.0.0.1", 6379));
        assert_eq!((plain.address.tls, plain.address.ca, plain.database), (false, None, 0));
        let full = server("rediss://sync%40er:p%3Ass@cache.example.com:6380/3?timeout=5");
        assert_eq!((full.address.host.as_str(), full.address.port), ("cache.example.com", 6380));
        assert_eq!((full.user.as_deref(), full.database), (Some("sync@er"), 3));
        assert_eq!(full.password.unwrap().expose(), "p:ss");
        assert_eq!(full.address.ca.as_deref(), Some("a certificate"));
        let azure = server("rediss://:key=with@signs=@a.redis.cache.windows.net:6380");
        assert_eq!((azure.user, azure.password.unwrap().expose()), (None, "key=with@signs="));
        assert_eq!(server("redis://[::1]:7000/1").address.host, "::1");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in
            ["", "127.0.0.1:6379", "http://a", "redis://", "redis://a:b:c", "redis://a/x", "redis://[::1"]
        {
            assert_eq!(parse(url, None), None, "{url}");
        }
    }
}
