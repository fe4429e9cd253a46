//! Seals a function's texts again under the first key of the ring, batch by batch, while everything goes on.

use serde_json::{Value, json};

use crate::seal::KeyRing;
use crate::{Context, Error, Response, Result};

/// A call ends before its caller loses patience.
const SECONDS: i64 = 30;
/// And long before its 2 s of computing time are used up.
const MOST: usize = 10_000;
/// Places that a reply names as unreadable.
const NAMED: usize = 100;

/// The route of a function that keeps sealed texts: `holder` is its name in `private.sealed_columns`. Which ones
/// are left follows from the rows themselves, so a call that dies is continued by the next one, and a text that
/// somebody replaces meanwhile stays as it is. For services. The answer: `key_id` that seals
/// now, how many texts were `rotated`, the places of the `unreadable` ones that no key opens, and `has_more` when the
/// call's time ran out.
pub async fn reseal(cx: &Context, ring: &'static str, holder: &'static str) -> Result<Response> {
    cx.require_service()?;
    let ring = KeyRing::from_secret(cx, ring)?;
    let started = cx.now();
    // Values and no types of their own: each type that is read or written costs a kilobyte in every module.
    let (mut unreadable, mut rotated, mut seen) = (Vec::new(), 0, 0);
    let mut after = Value::from("");
    let has_more = loop {
        let wanted = json!({ "p_holder": holder, "p_key_id": ring.sealing_id(), "p_after": after });
        let mut batch: Value = cx.db().rpc("sealed_batch", &wanted).fetch().await?;
        let Some(texts) = batch.as_array_mut() else { break false };
        let Some(last) = texts.last() else { break false };
        after = last["place"].clone();
        seen += texts.len();
        texts.retain_mut(|text| {
            let opens = again(cx, &ring, text).is_ok();
            if !opens && unreadable.len() < NAMED {
                unreadable.push(text["place"].take());
            }
            opens
        });
        if !texts.is_empty() {
            let stored = json!({ "p_holder": holder, "p_texts": batch });
            let stored: Value = cx.db().rpc("sealed_store", &stored).fetch().await?;
            rotated += stored.as_u64().unwrap_or_default();
        }
        if seen >= MOST || (cx.now() - started).whole_seconds() >= SECONDS {
            break true;
        }
    };
    let reply = json!({
        "success": true, "key_id": ring.sealing_id(), "rotated": rotated, "unreadable": unreadable, "has_more": has_more,
    });
    cx.info("resealed", reply.clone());
    Response::json(200, &reply)
}

/// Adds the new text to a place and its old one.
fn again(cx: &Context, ring: &KeyRing, text: &mut Value) -> Result<()> {
    let (Some(place), Some(sealed)) = (text["place"].as_str(), text["old_text"].as_str()) else {
        return Err(Error::internal("the database answered in an unexpected shape"));
    };
    text["new_text"] = ring.seal(cx, place, &ring.open(place, sealed)?)?.into();
    Ok(())
}
