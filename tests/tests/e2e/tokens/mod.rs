//! Broker tokens, from Redis to whoever asks for them.

mod faults;
mod keys;
mod renewals;
mod servers;
mod sync;

use anyhow::{Result, ensure};
use ironferry_tests::lab::Lab;
use ironferry_tests::redis;
use ironferry_tests::tokens::{accounts, jwt};
use serde_json::Value;

/// Calls the function as a service.
async fn call(lab: &Lab, query: &str) -> Result<(u16, Value)> {
    send(lab, "GET", query, "").await
}

async fn send(lab: &Lab, method: &str, query: &str, body: &str) -> Result<(u16, Value)> {
    let headers = [
        ("x-service-key", lab.stack.service_api_key()),
        ("content-type", "application/json"),
        ("x-actor", "a story"),
    ];
    let path = format!("/functions/v1/token-manager{query}");
    let reply = lab.api.send(method, &path, &headers, body.to_owned()).await?;
    Ok((reply.status, reply.json()?))
}

/// A call that must work.
async fn done(lab: &Lab, query: &str) -> Result<Value> {
    let (status, said) = call(lab, query).await?;
    ensure!(status == 200, "{query}: {status} {said}");
    Ok(said)
}

/// One token per account; the main account shares its own with no one here. Each ends by itself before its life
/// in Redis does: that one is known only as exactly as Redis and the function are quick.
async fn fill(url: &str) -> Result<Vec<(String, String)>> {
    let tokens: Vec<(String, String)> =
        accounts().into_iter().map(|name| (name.clone(), jwt(&name, 4_800))).collect();
    let commands: Vec<String> =
        tokens.iter().map(|(name, token)| format!("SET token:{name} {token} EX 5400\n")).collect();
    redis::run(url, &commands.concat()).await?;
    Ok(tokens)
}
