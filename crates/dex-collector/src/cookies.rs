//! The cookies of one session.

use http::HeaderMap;
use http::header::SET_COOKIE;

/// Names and values; attributes do not matter to a client of one site that lives for seconds.
#[derive(Default)]
pub(crate) struct Cookies(Vec<(String, String)>);

impl Cookies {
    /// Takes over what a reply sets. Each header is one cookie: a comma belongs to its date.
    pub(crate) fn store(&mut self, headers: &HeaderMap) {
        for header in headers.get_all(SET_COOKIE) {
            let Ok(header) = header.to_str() else {
                continue;
            };
            let pair = header.split(';').next().unwrap_or("");
            let Some((name, value)) = pair.trim().split_once('=') else {
                continue;
            };
            self.0.retain(|(known, _)| known != name);
            self.0.push((name.to_owned(), value.to_owned()));
        }
    }

    /// The `Cookie` header's value.
    pub(crate) fn header(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_with_a_date_is_one_cookie_and_the_last_of_a_name_stays() {
        let mut cookies = Cookies::default();
        for headers in [
            ["session=one; Expires=Wed, 21 Oct 2026 07:28:00 GMT; HttpOnly", "XSRF-TOKEN=a%3D=; Path=/"],
            ["session=two", "malformed"],
        ] {
            let mut reply = HeaderMap::new();
            for value in headers {
                reply.append(SET_COOKIE, value.parse().unwrap());
            }
            cookies.store(&reply);
        }
        assert_eq!(cookies.header(), "XSRF-TOKEN=a%3D=; session=two");
    }
}
