//! Where a caller is.

use std::net::IpAddr;

use crate::{Context, Request};

/// The edge of the hosted platform sets it, whatever the caller sent.
const HOSTED_HEADER: &str = "cf-connecting-ip";
/// Hosts of the hosted platform, where a function finds its project.
const HOSTED_DOMAIN: &str = ".supabase.co";

impl Request {
    /// Returns the address of the caller, or `None` where nothing proves it.
    ///
    /// Anyone can send a forwarding header, so one counts only behind the front end that sets it: on the
    /// hosted platform `CF-Connecting-IP`, elsewhere the header that the setting `CLIENT_IP_HEADER` names. Of
    /// a list the last address counts, which the front end added itself. A local stack has no front end, and
    /// there no header counts. The function's shim must list the header of the platform; it passes the one
    /// that the setting names by itself.
    pub fn client_address(&self, cx: &Context) -> Option<IpAddr> {
        let name = match cx.secret("CLIENT_IP_HEADER") {
            Some(name) => name.expose().trim(),
            None if is_hosted(cx) => HOSTED_HEADER,
            None => return None,
        };
        let last = self.header(name)?.rsplit(',').next()?;
        let address: IpAddr = last.trim().parse().ok()?;
        Some(address.to_canonical())
    }
}

fn is_hosted(cx: &Context) -> bool {
    let url = cx.secret("SUPABASE_URL").map_or("", |url| url.expose());
    let host = url.strip_prefix("https://").map_or("", |rest| rest.split(['/', ':']).next().unwrap_or(""));
    host.ends_with(HOSTED_DOMAIN)
}
